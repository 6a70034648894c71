/**
 * What was measured as pictures: bars of ratios, lines over a number that grows. Pure; each is an SVG that needs nothing
 * else, with a panel of its own in light and dark. What may be said of a row is in `verdict.ts`.
 */
import type { Measured, Metric } from '../model.ts';
import { aboutRatio, withUnit } from './table.ts';
import { figureText, isOurs, isRatio, type Ratio, ratioText, verdictOf } from './verdict.ts';

/** In pixels, as wide as a README. */
const [WIDTH, MARGIN, LINE] = [820, 20, 17];

/** What a character takes at most on average, in pixels: fonts differ from system to system. */
const [CHARACTER, SMALL_CHARACTER] = [7, 6.3];

/** Rules for light backgrounds, and those that differ on dark ones. */
interface Style {
  light: string;
  dark: string;
}

const COMMON: Style = {
  light: `text{font:13px system-ui,-apple-system,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif;fill:#1f2328}
.panel{fill:#fff;stroke:#d1d9e0}.title{font-size:15px;font-weight:600}.small{font-size:12px}.dim{fill:#59636e}
.strong{font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:#e6eaef}`,
  dark: `text{fill:#e6edf3}.panel{fill:#151b23;stroke:#3d444d}.dim{fill:#9198a1}.grid{stroke:#2a313a}`,
};

const BARS: Style = {
  light: `.bar{fill:#afb8c1}.ours{fill:#3b7dc4}.one{stroke:#59636e;stroke-dasharray:4 3}
.whisker{stroke:#1f2328;stroke-opacity:.65;fill:none}`,
  dark: `.bar{fill:#59636e}.ours{fill:#4c94e0}.one{stroke:#9198a1}.whisker{stroke:#e6edf3}`,
};

const LINES: Style = {
  light: `.line{fill:none;stroke:currentColor;stroke-width:1.5}.thick{stroke-width:3}.ring{fill:#fff}.name{fill:currentColor}
.blue{color:#2f6fb5}.c0{color:#85662a}.c1{color:#75607f}.c2{color:#3f7d4c}.c3{color:#a8553f}.c4{color:#5f6b76}.c5{color:#1f8080}`,
  dark: `.name{fill:currentColor}.ring{fill:#151b23}
.blue{color:#6cb0f5}.c0{color:#d0b070}.c1{color:#bda4c9}.c2{color:#84c090}.c3{color:#e09a84}.c4{color:#a5b0bb}.c5{color:#6cc4c4}`,
};

/** A bar for each row's ratio, with a whisker from quartile to quartile and a line at 1, the baseline. */
export function barChart(measured: Measured): string {
  const rows = measured.rows.map((row) => ({ row, verdict: verdictOf(row, measured) }));
  const shown = rows.map(({ verdict }) => verdict).filter(isRatio);
  const head = heading(measured.title, [measured.setting, aboutRatio(measured)]);

  const widest = Math.max(...rows.map(({ row }) => row.title.length));
  const left = round(MARGIN + widest * CHARACTER + 12);
  const right = WIDTH - MARGIN - 64;
  const [top, pitch, thickness] = [head.height + 14, 26, 16];
  const bottom = top + rows.length * pitch;
  const most = Math.max(1.05, ...shown.map(({ median, high }) => Math.max(median, high)));
  const scale = (right - left) / most;
  const x = (ratio: number) => round(left + ratio * scale);

  const axis = ticksWithin(most).flatMap((tick) => [
    `<path class="grid" d="M${x(tick)} ${top}V${bottom}"/>`,
    label(x(tick), bottom + LINE, 'small middle dim', figureText(tick)),
  ]);
  const bars = rows.flatMap(({ row, verdict }, index) => {
    const middle = top + (index + 0.5) * pitch;
    const [base, strong] = [middle + 4.5, isOurs(row) ? ' strong' : ''];
    const name = label(left - 10, base, `end${strong}`, row.title);
    if (!isRatio(verdict)) return [name, label(left + 6, base, 'small dim', verdict.why)];
    const kind = isOurs(row) ? 'ours' : 'bar';
    return [
      name,
      `<rect class="${kind}" x="${left}" y="${middle - thickness / 2}" width="${round(verdict.median * scale)}" height="${thickness}" rx="2"/>`,
      ...(row.id === measured.baseline ? [] : [whisker(verdict, x, middle)]),
      label(WIDTH - MARGIN, base, `end${strong}`, ratioText(verdict)),
    ];
  });
  const one = `<path class="one" d="M${x(1)} ${top - 4}V${bottom}"/>`;
  return picture(BARS, measured.title, bottom + 32, [...head.text, ...axis, one, ...bars]);
}

function whisker({ low, high }: Ratio, x: (ratio: number) => number, middle: number): string {
  const [from, to] = [x(low), x(high)];
  return `<path class="whisker" d="M${from} ${middle}H${to}M${from} ${middle - 4}v8M${to} ${middle - 4}v8"/>`;
}

/** Rows that differ in one number, such as the workers. */
export interface Growth {
  title: string;
  setting: string;
  metric: Metric;
  /** What the number is: `workers` */
  over: string;
  lines: readonly Line[];
}

export interface Line {
  title: string;
  isOurs: boolean;
  /** Without a value where answers were wrong or did not come, or rounds disagree: there the line has a gap. */
  points: readonly { at: number; value?: number; isLimited?: boolean }[];
}

/** A line for each server, with a ring where the load generator was the limit. */
export function lineChart({ title, setting, metric, over, lines }: Growth): string {
  const known = lines.filter(({ points }) => points.some(({ value }) => value !== undefined));
  const points = known.flatMap((line) => line.points);
  const steps = [...new Set(points.map(({ at }) => at))].sort((a, b) => a - b);
  const head = heading(title, [
    setting,
    `${withUnit(metric)}, ${metric.better} is better, over ${over}`,
    ...(points.some(({ isLimited }) => isLimited)
      ? ['A ring: the load generator was the limit, so it is at least so much']
      : []),
  ]);

  const widest = Math.max(0, ...known.map(({ title }) => title.length));
  const [left, right] = [MARGIN + 56, round(WIDTH - MARGIN - widest * CHARACTER - 14)];
  const [top, bottom] = [head.height + 14, head.height + 14 + Math.max(240, known.length * LINE)];
  const most = 1.05 * Math.max(...points.map(({ value = 0 }) => value), 0) || 1;
  const x = (at: number) =>
    round(left + (steps.indexOf(at) * (right - left)) / Math.max(1, steps.length - 1));
  const y = (value: number) => round(bottom - (value * (bottom - top)) / most);

  const axis = [
    ...ticksWithin(most).flatMap((tick) => [
      `<path class="grid" d="M${left} ${y(tick)}H${right}"/>`,
      label(left - 8, y(tick) + 4, 'small end dim', figureText(tick)),
    ]),
    ...steps.map((at) => label(x(at), bottom + LINE + 2, 'small middle dim', at.toLocaleString('en-US'))),
    label((left + right) / 2, bottom + 2 * LINE + 4, 'small middle dim', over),
  ];
  const ends = apart(
    known.map(({ points }) => y(points.findLast(({ value }) => value !== undefined)!.value!)),
    bottom,
  );
  const drawn = known.flatMap((line, index) => {
    const kind = line.isOurs ? 'blue' : `c${index % 6}`;
    const places = line.points.map(({ at, value, ...point }) =>
      value === undefined ? undefined : { ...point, x: x(at), y: y(value) },
    );
    const path = places.map((place, step) => place && `${places[step - 1] ? 'L' : 'M'}${place.x} ${place.y}`);
    const limited = places.filter((place) => place?.isLimited);
    return [
      `<path class="line ${kind}${line.isOurs ? ' thick' : ''}" d="${path.join('')}"/>`,
      ...limited.map(
        (place) => `<circle class="line ring ${kind}" cx="${place!.x}" cy="${place!.y}" r="4"/>`,
      ),
      label(right + 10, ends[index]! + 4, `name ${kind}${line.isOurs ? ' strong' : ''}`, line.title),
    ];
  });
  return picture(LINES, title, bottom + 2 * LINE + 18, [...head.text, ...axis, ...drawn]);
}

/** The heights of labels, pushed apart where they would cover each other; none below `lowest`. */
function apart(heights: readonly number[], lowest: number): number[] {
  const order = heights.map((_, index) => index).sort((a, b) => heights[a]! - heights[b]! || a - b);
  const placed = [...heights];
  let above = -Infinity;
  for (const index of order) above = placed[index] = Math.max(placed[index]!, above + LINE);
  let below = lowest + LINE;
  for (const index of order.reverse()) below = placed[index] = Math.min(placed[index]!, below - LINE);
  return placed;
}

/** From 0, in five to seven round steps, to the last that is not above `most`. */
function ticksWithin(most: number): number[] {
  const rough = (most || 1) / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5].find((one) => one * power >= rough) ?? 10);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
}

/** A title with paragraphs below it, in as many lines as they need. */
function heading(title: string, paragraphs: readonly string[]): { text: string[]; height: number } {
  const lines = paragraphs.flatMap((text) => wrapped(text, (WIDTH - 2 * MARGIN) / SMALL_CHARACTER));
  const first = 46;
  return {
    text: [
      label(MARGIN, 28, 'title', title),
      ...lines.map((line, index) => label(MARGIN, first + index * LINE, 'small dim', line)),
    ],
    height: first + (lines.length - 1) * LINE,
  };
}

/** Lines of at most `room` characters, broken after semicolons if that is possible. */
function wrapped(text: string, room: number): string[] {
  const parts = text.split(/(?<=;) /);
  const lines = [''];
  for (const piece of parts.every(({ length }) => length <= room) ? parts : text.split(' ')) {
    const longer = `${lines.at(-1)} ${piece}`.trim();
    if (longer.length <= room) lines[lines.length - 1] = longer;
    else lines.push(piece);
  }
  return lines;
}

function label(x: number, y: number, kind: string, text: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escaped(text)}</text>`;
}

function picture(style: Style, title: string, height: number, content: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title">`,
    `<title id="title">${escaped(title)}</title>`,
    `<style>${COMMON.light}${style.light}@media(prefers-color-scheme:dark){${COMMON.dark}${style.dark}}</style>`,
    `<rect class="panel" x=".5" y=".5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>`,
    ...content,
    '</svg>',
    '',
  ].join('\n');
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** To a tenth of a pixel: more only makes files larger. */
function round(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}
