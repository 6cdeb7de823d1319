"""Style sheet of all pages: light, dark, mobile and print."""

STYLE = """
:root {
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d2129; --muted: #667085; --line: #e4e2dd;
  --error: #b42318; --warning: #b05e00; --note: #3b6ea5; --clean: #2e7d4f; --bar: #7a9cc6;
  --heat: 226, 106, 0; --strength: .85;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1c1f25; --ink: #e6e7ea; --muted: #98a1b0; --line: #2e323a;
    --error: #ff7a6e; --warning: #f5ab4a; --note: #86b3e6; --clean: #6fce96; --bar: #5b82b5;
    --heat: 255, 130, 20; --strength: .55;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 68rem; padding: 1.5rem 1.25rem 3rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { margin: 0 0 .75rem; font-size: 2rem; line-height: 1.15; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.3rem; }
h2 small { font-size: .85rem; font-weight: 400; color: var(--muted); margin-left: .5rem; }
h3 { margin: 0 0 .5rem; font-size: 1.02rem; line-height: 1.4; overflow-wrap: anywhere; }
p { margin: 0 0 .5rem; }
.over, .kind {
  margin: 0; font-size: .72rem; letter-spacing: .06em; text-transform: uppercase; color: var(--muted);
}
.kind { float: right; margin-left: 1rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 1rem; padding: 0; list-style: none; }
.tiles li {
  padding: .35rem .8rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card);
  color: var(--muted); font-size: .9rem;
}
.tiles b { color: var(--ink); font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.tiles .error b { color: var(--error); }
.tiles .warning b { color: var(--warning); }
.tiles .note b { color: var(--note); }
.verdict, article, section {
  padding: .9rem 1.1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card);
}
.verdict { margin: 0; border-left-width: 5px; font-size: 1.05rem; }
.error .verdict, article.error { border-left: 5px solid var(--error); }
.warning .verdict, article.warning { border-left: 5px solid var(--warning); }
.note .verdict, article.note { border-left: 5px solid var(--note); }
.clean .verdict { border-left: 5px solid var(--clean); }
p.clean { margin-top: 2rem; color: var(--clean); font-weight: 600; }
article, section { margin: 0 0 .8rem; }
dl { display: grid; grid-template-columns: 2rem 1fr; margin: 0; gap: .1rem .4rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
.gallery {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: .6rem;
  margin-top: .8rem;
}
figure { margin: 0; min-width: 0; }
figure img {
  display: block; width: 100%; height: 104px; object-fit: contain; border-radius: .3rem;
  background: rgba(128, 128, 128, .14);
}
figcaption { font-size: .74rem; line-height: 1.3; margin-top: .2rem; }
figcaption b { display: block; font-weight: 600; overflow-wrap: anywhere; }
figcaption span {
  display: block; color: var(--muted); overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
}
details { margin-top: .6rem; font-size: .85rem; }
summary { cursor: pointer; color: var(--muted); }
details ul { max-height: 18rem; overflow: auto; margin: .4rem 0 0; padding-left: 1.2rem; }
details li { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; min-width: 100%; }
th, td {
  padding: .3rem .55rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap;
}
th { color: var(--muted); font-weight: 500; vertical-align: bottom; white-space: normal; }
th:not(:first-child) { text-align: right; }
td:first-child { font-weight: 600; }
td:not(:first-child) { text-align: right; }
tbody tr:last-child td { border-bottom: 0; }
.number { font-variant-numeric: tabular-nums; }
.score {
  display: block; margin: -.3rem -.55rem; padding: .3rem .55rem;
  background: rgba(var(--heat), calc(var(--shade) * var(--strength)));
}
.chart { margin: .6rem 0; }
.chart img { max-width: 100%; height: auto; border-radius: .3rem; background: #fff; }
.bar {
  display: inline-block; width: 3rem; height: .5rem; margin-right: .25rem; border-radius: .25rem;
  background: rgba(128, 128, 128, .18); overflow: hidden; vertical-align: middle;
}
.bar i { display: block; height: 100%; background: var(--bar); }
footer { margin-top: 2.5rem; color: var(--muted); font-size: .85rem; overflow-wrap: anywhere; }
footer ul { padding-left: 1.2rem; }
@media (max-width: 34rem) {
  body { padding: 1rem .75rem 2rem; }
  h1 { font-size: 1.5rem; }
  h2 small { display: block; margin: .15rem 0 0; }
  .kind { float: none; margin: 0 0 .2rem; }
  .gallery { grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); }
  figure img { height: 84px; }
}
@media print {
  :root {
    --paper: #fff; --card: #fff; --ink: #000; --muted: #555; --line: #ccc; --error: #b42318;
    --warning: #b05e00; --note: #3b6ea5; --heat: 226, 106, 0; --strength: .85;
  }
  body { max-width: none; padding: 0; font-size: 11px; }
  article, section, figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .score, .bar, .bar i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details { display: none; }
}
"""
