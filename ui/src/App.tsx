// The frame around every page: where one is, whose data it is, and the way to the other pages.

import {
  ActionIcon,
  Anchor,
  AppShell,
  Badge,
  Burger,
  Button,
  Group,
  Kbd,
  Loader,
  Modal,
  NavLink,
  Table,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { lazy, Suspense, type ComponentType } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";

import { useVisit } from "./session";
import { Boundary } from "./Trouble";

interface Page {
  path: string;
  name: string;
  key: string; // Alt and this letter
  page: ComponentType;
  operators?: boolean; // in the menu of tenant system only
}

const PAGES: Page[] = [
  { path: "/ui/start", name: "Get started", key: "S", page: lazy(() => import("./pages/GetStarted")) },
  { path: "/ui/explore", name: "Explore", key: "E", page: lazy(() => import("./explore/Explore")) },
  { path: "/ui/dashboards", name: "Dashboards", key: "D", page: lazy(() => import("./dashboards/List")) },
  { path: "/ui/metrics", name: "Metrics", key: "M", page: lazy(() => import("./pages/Metrics")) },
  { path: "/ui/hosts", name: "Hosts", key: "H", page: lazy(() => import("./pages/Hosts")) },
  { path: "/ui/checks", name: "Service checks", key: "C", page: lazy(() => import("./pages/Checks")) },
  { path: "/ui/events", name: "Events", key: "V", page: lazy(() => import("./pages/Events")) },
  { path: "/ui/losses", name: "Losses", key: "L", page: lazy(() => import("./pages/Losses")) },
  { path: "/ui/tenants", name: "Tenants", key: "T", page: lazy(() => import("./pages/Tenants")), operators: true },
];

const Dashboard = lazy(() => import("./dashboards/View"));
const HostDetail = lazy(() => import("./pages/Hosts").then((module) => ({ default: module.HostDetail })));

const HELP: [string[], string][] = [
  [["Alt", "S"], "Get started; the other pages by the letter behind their name"],
  [["/"], "Into the first field for typing"],
  [["Enter"], "Run the query that is being typed; Shift+Enter breaks the line"],
  [["Esc"], "Out of the query"],
  [["r"], "Ask again"],
  [["["], "Earlier"],
  [["]"], "Later"],
  [["-"], "Twice as long"],
  [["d"], "Dark or light"],
  [["?"], "This help"],
];

export function App() {
  const [location, navigate] = useLocation();
  const { operator } = useVisit();
  const [opened, { toggle, close }] = useDisclosure();
  const [help, { open: openHelp, close: closeHelp }] = useDisclosure();
  const { toggleColorScheme } = useMantineColorScheme();
  useHotkeys([
    ...PAGES.map(({ key, path }) => [`alt+${key}`, () => navigate(path)] as [string, () => void]),
    ["/", focusFirst],
    ["d", () => toggleColorScheme()],
    ["shift+?", openHelp],
    ["?", openHelp],
  ]);
  return (
    <AppShell header={{ height: 48 }} navbar={{ width: 190, breakpoint: "sm", collapsed: { mobile: !opened } }} padding="md">
      <AppShell.Header>
        <Header opened={opened} onToggle={toggle} onHelp={openHelp} />
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Pages">
        {PAGES.filter((page) => operator || !page.operators).map(({ path, name, key }) => (
          <NavLink
            key={path}
            component={Link}
            href={path}
            label={name}
            rightSection={
              <Text size="xs" c="dimmed" visibleFrom="sm" aria-hidden>
                {key}
              </Text>
            }
            active={location.startsWith(path)}
            onClick={close}
          />
        ))}
      </AppShell.Navbar>
      <AppShell.Main>
        <Boundary key={location}>
          <Suspense fallback={<Loader />}>
            <Switch>
              {PAGES.map(({ path, page }) => (
                <Route key={path} path={path} component={page} />
              ))}
              <Route path="/ui/dashboards/:uid" component={Dashboard} />
              <Route path="/ui/hosts/:name" component={HostDetail} />
              <Route path="/">
                <Redirect to={PAGES[0]!.path} replace />
              </Route>
              <Route path="/ui">
                <Redirect to={PAGES[0]!.path} replace />
              </Route>
              <Route>
                There is no page at this address. <Anchor component={Link} href="/ui/start">Get started</Anchor>
              </Route>
            </Switch>
          </Suspense>
        </Boundary>
      </AppShell.Main>
      <Modal opened={help} onClose={closeHelp} title="Keys" lockScroll={false}>
        <Table>
          <Table.Tbody>
            {HELP.map(([keys, what]) => (
              <Table.Tr key={what}>
                <Table.Td>
                  <Group gap={4}>
                    {keys.map((key) => (
                      <Kbd key={key}>{key}</Kbd>
                    ))}
                  </Group>
                </Table.Td>
                <Table.Td>{what}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Modal>
    </AppShell>
  );
}

function Header({ opened, onToggle, onHelp }: { opened: boolean; onToggle: () => void; onHelp: () => void }) {
  const visit = useVisit();
  const dark = useComputedColorScheme("light") === "dark";
  const { setColorScheme } = useMantineColorScheme();
  return (
    <Group h="100%" px={{ base: "xs", xs: "md" }} gap="xs" justify="space-between" wrap="nowrap">
      <Group gap="sm" wrap="nowrap" flex="none">
        <Burger opened={opened} onClick={onToggle} hiddenFrom="sm" size="sm" aria-label="Pages" />
        <Text fw={700}>opstrace</Text>
        <Text c="dimmed" size="sm" visibleFrom="xs">
          {visit.instance}
        </Text>
      </Group>
      <Group gap="xs" wrap="nowrap" miw={0}>
        <Tooltip label={visit.operator ? "The server's own metrics; sees what all tenants sent" : "Whose data this is"}>
          <Badge variant="light" size="lg" tt="none" miw={0} data-testid="tenant">
            {visit.tenant}
          </Badge>
        </Tooltip>
        <ActionIcon variant="default" aria-label={dark ? "Light" : "Dark"} onClick={() => setColorScheme(dark ? "light" : "dark")}>
          {dark ? "☀" : "☾"}
        </ActionIcon>
        <ActionIcon variant="default" aria-label="Keys" visibleFrom="xs" onClick={onHelp}>
          ?
        </ActionIcon>
        <Button variant="default" size="compact-sm" flex="none" onClick={visit.logOut}>
          Log out
        </Button>
      </Group>
    </Group>
  );
}

function focusFirst(event: KeyboardEvent) {
  event.preventDefault();
  for (const field of ["main .cm-content", "main input[type=search]", "main input"]) {
    const found = document.querySelector<HTMLElement>(field);
    if (found) return found.focus();
  }
}
