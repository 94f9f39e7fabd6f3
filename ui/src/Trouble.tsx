// What went wrong, in place: a sentence, never a blank page.

import { Alert, Button } from "@mantine/core";
import { Component, type ReactNode } from "react";

export function Trouble({ error, what = "This could not be shown" }: { error: unknown; what?: string }) {
  return (
    <Alert color="red" variant="light" title={what} role="alert" my="xs" className="trouble">
      {error instanceof Error ? error.message : String(error)}
    </Alert>
  );
}

interface State {
  error: Error | null;
}

export class Boundary extends Component<{ children: ReactNode; what?: string }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <>
        <Trouble error={this.state.error} what={this.props.what} />
        <Button variant="default" size="xs" onClick={() => this.setState({ error: null })}>
          Try again
        </Button>
      </>
    );
  }
}
