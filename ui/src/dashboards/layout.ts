// How several drawings share the room of a panel.

export interface Layout {
  columns: number;
  width: number; // of one
  height: number;
  shown: number; // how many are; the rest would be too small
}

interface Shape {
  ratio: number; // of its height to its width
  least: { width: number; height: number };
}

export const NOTE_PX = 22; // a line that says how many are left out

/** The largest cells of a shape in which so many drawings fit into a room, as many as fit at their least size. */
export function fitted(count: number, width: number, height: number, { ratio, least }: Shape): Layout {
  const most = (room: number) =>
    Math.max(1, Math.floor(width / least.width)) * Math.max(1, Math.floor(room / least.height));
  const room = count > most(height) ? height - NOTE_PX : height;
  const shown = Math.max(1, Math.min(count, most(room)));
  const layouts = Array.from({ length: shown }, (_, index) => {
    const columns = index + 1;
    return { columns, width: width / columns, height: room / Math.ceil(shown / columns), shown };
  });
  const size = (layout: Layout) => Math.min(layout.width, layout.height / ratio);
  return layouts.reduce((best, layout) => (size(layout) > size(best) ? layout : best));
}
