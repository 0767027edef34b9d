"""The look of `report.html`: system fonts, light and dark, screen and print.

The two colours of differences are Okabe and Ito's blue and vermilion, which colour-blind readers
can tell apart; a line below or through the characters says the same without colour.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --soft: #5b6570; --line: #dfe3e8; --wash: #f6f7f9;
  --blue: #0072b2; --blue-wash: #d5eaf7; --red: #b34a00; --red-wash: #fde3d3;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e4e7ea; --soft: #9aa4ae; --line: #30363d; --wash: #1c2126;
    --blue: #6cb9ec; --blue-wash: #0f3a57; --red: #ff9d66; --red-wash: #57260a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 74rem; margin: 0 auto; padding: 3.5rem 2rem 5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 0.4rem; }
h2 { font-size: 1.25rem; letter-spacing: -0.005em; margin: 3.5rem 0 0.4rem; }
h3 { font-size: 1.05rem; margin: 2.2rem 0 0.8rem; }
h4, h5 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
p { margin: 0.4rem 0 1rem; max-width: 46rem; }
.soft, caption { color: var(--soft); }
code { font: 0.92em var(--mono); overflow-wrap: anywhere; }

.headline {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
  margin: 2.2rem 0 0; padding: 0; border-block: 1px solid var(--line);
}
.headline div { padding: 1.2rem 1.2rem 1.1rem 0; }
.headline dt { color: var(--soft); font-size: 0.9rem; }
.headline dd { margin: 0; }
.headline .figure {
  font-size: 2.3rem; line-height: 1.2; font-weight: 600; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums;
}
.headline .bad { color: var(--red); }
.headline .figure + dd { color: var(--soft); font-size: 0.9rem; }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0.8rem 0 1rem; }
caption { text-align: left; font-size: 0.9rem; padding-bottom: 0.4rem; }
th, td {
  padding: 0.42rem 1.6rem 0.42rem 0; text-align: right; border-bottom: 1px solid var(--line);
}
th { font-weight: 500; vertical-align: bottom; }
tbody th { vertical-align: top; }
thead th { color: var(--soft); font-size: 0.9rem; border-bottom-color: var(--soft); }
th:first-child, .text { text-align: left; }
td { vertical-align: top; white-space: nowrap; }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 11rem; }
td small { display: block; color: var(--soft); font-size: 0.8rem; line-height: 1.3; }

svg { display: block; width: 100%; max-width: 46rem; height: auto; margin: 1rem 0; }
svg .bar { fill: var(--blue); }
svg .bar.beyond { fill: var(--red); }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }

.row { border-top: 1px solid var(--line); padding: 1.3rem 0 1.6rem; }
.row header { display: flex; flex-wrap: wrap; gap: 0.2rem 1.4rem; align-items: baseline; }
.row header span { color: var(--soft); font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.row header .status { border: 1px solid currentColor; border-radius: 99px; padding: 0 0.6rem; }
.row header .bad { color: var(--red); }
.row .reason { color: var(--red); font-size: 0.9rem; margin: 0.3rem 0 0; }
.compared {
  display: grid; grid-template-columns: minmax(9rem, 16rem) 1fr 1fr; gap: 1.4rem;
  margin-top: 0.9rem; align-items: start;
}
.pages { display: grid; gap: 0.6rem; }
.pages label { display: block; cursor: zoom-in; }
.pages input { position: absolute; opacity: 0; }
.pages img {
  display: block; max-width: 100%; max-height: 24rem; border: 1px solid var(--line);
  background: #fff;
}
.pages input:focus-visible + img { outline: 3px solid var(--blue); outline-offset: 2px; }
.compared:has(input:checked) { grid-template-columns: 1fr 1fr; }
.compared:has(input:checked) .pages { grid-column: 1 / -1; }
.pages input:checked + img { max-height: none; cursor: zoom-out; }
.missing { color: var(--soft); font-size: 0.9rem; border: 1px dashed var(--line); padding: 1rem; }
.answer h5 { margin: 0 0 0.35rem; font-size: 0.9rem; font-weight: 500; color: var(--soft); }
.answer div {
  font: 0.84rem/1.6 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: plaintext; background: var(--wash); padding: 0.8rem 0.9rem; border-radius: 4px;
  max-height: 24rem; overflow: auto;
}
.answer div:focus-visible { outline: 2px solid var(--blue); }
.answer .nothing { color: var(--soft); font-style: italic; }
del, ins { border-radius: 2px; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
del { background: var(--blue-wash); text-decoration: underline 1px var(--blue); }
ins { background: var(--red-wash); text-decoration: underline wavy 1px var(--red); }
del, ins { text-underline-offset: 0.2em; }
.newline::before { content: "\\21B5"; opacity: 0.75; }
.unseen { border: 1px solid var(--soft); border-radius: 2px; font-size: 0.7em; padding: 0 0.2em; }
.legend del, .legend ins { padding: 0 0.25em; }

.settings { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.6rem; margin: 0; }
.settings dt { color: var(--soft); }
.settings dd { margin: 0; overflow-wrap: anywhere; font: 0.88rem/1.75 var(--mono); }

@media (max-width: 60rem) {
  main { padding: 2rem 1.1rem 3rem; }
  .compared, .compared:has(input:checked) { grid-template-columns: 1fr; }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --wash: #fff;
    --blue: #00507d; --blue-wash: #d5eaf7; --red: #8a3900; --red-wash: #fde3d3;
  }
  body { font-size: 9.5pt; }
  .headline { grid-template-columns: repeat(4, 1fr); }
  .headline .figure { font-size: 1.7rem; }
  th, td { padding-right: 0.9rem; }
  tr, svg, .headline { break-inside: avoid; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 2rem; }
  .row header { break-after: avoid; }
  .answer div { max-height: none; border: 1px solid var(--line); }
  .compared { grid-template-columns: 4.2cm 1fr 1fr; }
  .pages img { max-height: 9cm; }
  del, ins, .bar { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
