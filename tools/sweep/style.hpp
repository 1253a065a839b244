// tools/sweep/style.hpp — the style sheet of the page that `sparsert sweep --html` writes.
#pragma once

namespace sparsert::tools::sweep {

// Colors hold 4.5:1 against their background in both schemes; lines also differ by dashes, wrong readings by a mark.
inline constexpr const char* kStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f5f1; --card: #ffffff; --ink: #1b1f27; --soft: #59616e; --rule: #e2e0d9;
  --sparse: #1f5fd0; --dense: #b2500a; --blas: #5a6373; --layer2: #8a3a94; --good: #1b6e48;
  --wrong: #a3123a; --wrong-wash: #fbe3e9; --paying: #1f5fd00f; --band: #1f5fd026;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151a; --card: #1b1f27; --ink: #eceff4; --soft: #a4adbb; --rule: #2f3540;
    --sparse: #7db1ff; --dense: #f2a45c; --blas: #b4bdcb; --layer2: #e29bea; --good: #74d3a4;
    --wrong: #ff9db4; --wrong-wash: #4a1c2a; --paying: #7db1ff14; --band: #7db1ff33;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2rem); }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; }
h1 { margin: 0; font-size: clamp(1rem, 2.4vw, 1.15rem); font-weight: 600; color: var(--soft); }
h2 { margin: 3.5rem 0 .35rem; font-size: 1.4rem; letter-spacing: -.01em; }
h3 { margin: 0; font-size: 1.05rem; }
.answer { margin: .3rem 0 1.2rem; font-size: clamp(2.3rem, 7.5vw, 4.2rem); line-height: 1.08; font-weight: 750;
  letter-spacing: -.03em; text-wrap: balance; }
.lead { max-width: 46rem; margin: 0 0 1.8rem; font-size: 1.1rem; }
.findings { max-width: 46rem; margin: 1.6rem 0 0; padding-left: 1.2rem; }
.findings li { margin: .3rem 0; }
.note { max-width: 46rem; margin: 0 0 1.2rem; color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; margin: 0; padding: 0; }
.tiles > div, figure, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 14px; }
.tiles > div { padding: 1.1rem 1.25rem 1.2rem; }
.tiles dt { color: var(--soft); font-size: .92rem; }
.tiles dd { margin: 0; }
.tiles .figure { font-size: 2.1rem; font-weight: 700; letter-spacing: -.02em; line-height: 1.25; color: var(--sparse);
  font-variant-numeric: tabular-nums; }
.tiles .beside { color: var(--soft); font-size: .92rem; }
.meter { height: 8px; margin: .55rem 0 .5rem; border-radius: 4px; background: var(--rule); overflow: hidden; }
.meter span { display: block; height: 100%; border-radius: 4px; background: var(--sparse); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
figure { margin: 0; padding: 1.1rem 1.1rem .8rem; }
.unit { margin: .1rem 0 0; color: var(--soft); font-size: .9rem; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; margin: .5rem 0 .3rem; font-size: .9rem; }
.legend span { display: inline-flex; align-items: center; gap: .45rem; }
.swatch { width: 34px; height: 12px; }
figure > svg { display: block; width: 100%; height: auto; }
svg text { font-size: 14px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .strong { fill: var(--ink); font-weight: 700; }
svg .knee-label { fill: var(--ink); font-weight: 700; }
.grid { stroke: var(--rule); }
.paying { fill: var(--paying); }
.band { fill: var(--band); }
.line { fill: none; stroke: var(--series); stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.dot { fill: var(--series); stroke: var(--card); stroke-width: 1.5; }
.knee { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 2 4; stroke-linecap: round; }
.sparse, .layer1 { --series: var(--sparse); }
.dense { --series: var(--dense); stroke-dasharray: 9 6; }
.blas { --series: var(--blas); stroke-dasharray: 1 6; }
.layer2 { --series: var(--layer2); }
.layer3 { --series: var(--dense); }
.layer4 { --series: var(--blas); }
.scroll { overflow-x: auto; padding: .5rem 1.1rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
tr:last-child > * { border-bottom: 0; }
thead th { color: var(--soft); font-weight: 600; font-size: .88rem; vertical-align: bottom; white-space: normal; }
tbody th { font-weight: 600; }
tr.is-knee > * { background: var(--paying); font-weight: 700; }
.tag { display: inline-block; margin-left: .5rem; padding: 0 .5em; border-radius: 1em; background: var(--ink);
  color: var(--card); font-size: .75rem; font-weight: 600; vertical-align: .08em; }
.readings th, .readings td { padding: .3rem .25rem; text-align: center; border: 0; }
.readings tbody th, .readings thead th:first-child { text-align: right; padding-right: .8rem; white-space: nowrap; }
.readings span { display: inline-block; min-width: 2.1em; padding: .1em .25em; border-radius: 8px; color: var(--good); }
.readings .wrong { background: var(--wrong-wash); color: var(--wrong); font-weight: 700; box-shadow: inset 0 0 0 1.5px; }
.picture { display: block; width: clamp(1.4rem, 5.5vw, 3.4rem); margin: 0 auto; fill: var(--ink); }
dl.words { max-width: 46rem; margin: .8rem 0 0; }
dl.words dt { font-weight: 600; margin-top: .7rem; }
dl.words dd { margin: 0; color: var(--soft); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--soft); font-size: .9rem; }
@media (max-width: 40rem) {
  .readings th, .readings td { padding: .2rem .05rem; }
  .readings tbody th, .readings thead th:first-child { padding-right: .3rem; }
  .readings span { min-width: 1.6em; }
  th, td { padding: .4rem .4rem; }
  .scroll { padding: .5rem .7rem; }
  svg text { font-size: 17px; }
}
)css";

}  // namespace sparsert::tools::sweep
