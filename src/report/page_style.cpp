// SPDX-License-Identifier: Apache-2.0
// The style sheet of every page and picture. Eight series colours, chosen for light and dark
// grounds apart, that colour-blind eyes tell from each other; everything else is ink and grey.
#include "report/page.h"

namespace ocoee::report {

const char* page_style() {
  return R"css(
:root{--bg:#fbfbf9;--card:#ffffff;--ink:#1c2024;--soft:#5b636d;--dim:#858d96;--rule:#e4e4df;--grid:#ecece8;
--axis:#a9aeb4;--accent:#1f5fbf;--good:#14795f;--bad:#b4402f;--lane:#f3f3ef;--on:#ffffff;
--c0:#1f5fbf;--c1:#d06a12;--c2:#14866b;--c3:#7d4fb8;--c4:#c23a58;--c5:#a8830a;--c6:#2b93b8;--c7:#7a828c}
@media screen and (prefers-color-scheme:dark){:root{--bg:#101317;--card:#171b20;--ink:#e8eaed;--soft:#a9b1bb;
--dim:#7f8893;--rule:#2a3037;--grid:#232930;--axis:#59616b;--accent:#7ab0ff;--good:#55c9a4;--bad:#f08a78;
--lane:#1d2228;--on:#0e1115;
--c0:#6fa8ff;--c1:#f39b4a;--c2:#46c3a0;--c3:#b592ef;--c4:#f27d95;--c5:#d9b53f;--c6:#62c4e6;--c7:#98a1ac}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);line-height:1.5;font-size:15px;
font-family:"Inter",system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:984px;margin:0 auto;padding:40px 32px 64px}
h1{font-size:34px;line-height:1.15;letter-spacing:-.02em;margin:4px 0 10px;overflow-wrap:anywhere}
h2{font-size:21px;letter-spacing:-.01em;margin:0 0 14px}
h3{font-size:14px;font-weight:600;margin:0 0 10px}
p{margin:0 0 12px;max-width:46em}
.eyebrow{font-size:12px;letter-spacing:.08em;text-transform:uppercase;color:var(--soft);display:flex;gap:12px;
align-items:center;flex-wrap:wrap}
.status{letter-spacing:.02em;text-transform:none;border:1px solid currentColor;border-radius:99px;padding:1px 10px;
font-weight:600}
.status.good{color:var(--good)}.status.bad{color:var(--bad)}.status.open{color:var(--c5)}
.lead{font-size:18px;color:var(--soft);max-width:44em;margin-bottom:26px;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;border-top:1px solid var(--rule);border-bottom:1px solid var(--rule);
padding:9px 0;margin:26px 0 8px;font-size:13px}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
section{padding-top:34px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:14px;margin-bottom:22px}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:20px 24px 22px;min-width:0;
display:flex;flex-wrap:wrap;gap:10px 36px;align-items:flex-start;justify-content:space-between}
.tile .label{font-size:14px;color:var(--soft)}
.tile .value{font-size:48px;font-weight:600;letter-spacing:-.02em;line-height:1.2;overflow-wrap:anywhere}
.tile:not(:only-child) .value{font-size:38px}
.tile .unit{font-size:.38em;font-weight:500;color:var(--soft);letter-spacing:0}
.tile .note{font-size:14px;color:var(--soft);margin-top:2px;overflow-wrap:anywhere}
.tile.better .note{color:var(--good)}.tile.worse .note{color:var(--bad)}
.tile>div{flex:1 1 260px}.tile>svg.chart{align-self:center}.tile>svg.chart{width:360px;flex:0 1 360px}
.facts{display:flex;flex-wrap:wrap;gap:16px 34px;margin:0 2px 8px}
.fact .label,.fact .note{font-size:12.5px;color:var(--soft)}
.fact .value{font-size:20px;font-weight:600;letter-spacing:-.01em;line-height:1.35;white-space:nowrap}
.fact .unit{font-size:.65em;font-weight:500;color:var(--soft);letter-spacing:0}
figure{margin:0 0 18px;background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:16px 20px 14px;
position:relative;min-width:0}
figcaption{font-size:12.5px;color:var(--soft);margin-top:8px;max-width:70em}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:0 18px}
.two-one{display:grid;grid-template-columns:1.9fr 1fr;gap:0 18px}
.gap{height:14px}.small{font-size:12.5px;color:var(--soft);max-width:none}
.scroll{overflow-x:auto;margin-bottom:14px}
figure .scroll{margin-bottom:0}
table{border-collapse:collapse;font-size:13.5px;width:100%}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--rule);vertical-align:top;
overflow-wrap:break-word}.events td:nth-child(2){white-space:nowrap}td:last-child{overflow-wrap:anywhere}
th{font-weight:600;color:var(--soft);font-size:12.5px}
td:first-child:not(.n){min-width:8em}
th.n,td.n{text-align:right;white-space:nowrap}
tr:last-child td{border-bottom:0}
tr.strong td{font-weight:700}
.notice{border-left:3px solid var(--c5);background:var(--card);padding:9px 14px;max-width:none;font-size:14px}
details{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:11px 18px;margin-bottom:14px}
summary{cursor:pointer;font-size:14px;font-weight:600}
details[open]>summary{margin-bottom:10px}
pre{margin:0 0 14px;background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:13px 18px;
overflow-x:auto;font-size:12.5px;line-height:1.55;white-space:pre-wrap;overflow-wrap:anywhere;
font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
details pre{border:0;padding:0;margin:0;background:none}
code{font-family:inherit}pre b{color:var(--accent);font-weight:600}pre i{color:var(--dim);font-style:normal}
pre .key{color:var(--ink)}
footer{margin-top:40px;padding-top:12px;border-top:1px solid var(--rule);font-size:12.5px;color:var(--soft)}
.save{position:absolute;top:12px;right:14px;border:0;background:none;color:var(--dim);font:inherit;font-size:12px;
cursor:pointer;opacity:0;transition:opacity .15s}
figure:hover .save,.save:focus-visible{opacity:1}.save:hover{color:var(--accent)}
.tip{position:fixed;z-index:9;pointer-events:none;background:var(--ink);color:var(--bg);font-size:12.5px;line-height:1.45;
padding:5px 10px;border-radius:6px;max-width:320px;opacity:0;transition:opacity .08s}
.tip.on{opacity:1}.tip b{font-weight:600}.tip span{opacity:.75}
svg.chart{display:block;width:100%;height:auto;overflow:visible}
.at-narrow{display:none}
svg text{font-size:12px;fill:var(--ink)}
svg .t{fill:var(--soft);font-size:11.5px}svg .dim{fill:var(--dim)}
svg .l{fill:var(--c,var(--ink));font-weight:600;font-size:12px;paint-order:stroke;stroke:var(--card);stroke-width:4px}
svg .on-seg{fill:var(--on);font-weight:600;font-size:12px;pointer-events:none}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}
.c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}.c7{--c:var(--c7)}
svg .grid{stroke:var(--grid);stroke-width:1;display:inline}
svg .minor{opacity:.5}
svg .axis,svg .tick{stroke:var(--axis);stroke-width:1}
svg .line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .faint{fill:none;stroke:var(--c);stroke-width:1;stroke-linejoin:round;stroke-linecap:round;opacity:.28}
svg .dashed{stroke-dasharray:5 4;stroke-linecap:butt}
svg .ghost{fill:none;stroke:none}
svg .band{fill:var(--c);opacity:.16}
svg .error{fill:none;stroke:var(--c);stroke-width:1.3}
svg .dot{fill:var(--c);stroke:var(--card);stroke-width:1.2}
svg .ring{fill:var(--card);stroke:var(--c);stroke-width:1.6}
svg .ref{stroke:var(--c,var(--dim));stroke-width:1.2;stroke-dasharray:5 4;fill:none}
svg .atom{fill:var(--c);stroke:var(--card);stroke-width:1}
svg .far1{fill:color-mix(in srgb,var(--c) 78%,var(--card))}svg .far2{fill:color-mix(in srgb,var(--c) 58%,var(--card))}
svg .far3{fill:color-mix(in srgb,var(--c) 40%,var(--card))}
svg .seg{fill:var(--c)}svg .lane{fill:var(--lane)}
svg .frame{fill:none;stroke:var(--axis);stroke-width:1}
svg .cells{shape-rendering:crispEdges}
svg .gain{fill:var(--good)}svg .loss{fill:var(--bad)}
svg .thick{stroke-width:4}svg .gain.thick{stroke:var(--good)}svg .loss.thick{stroke:var(--bad)}
svg .hollow{fill:var(--card);stroke:var(--soft);stroke-width:2}
svg .cross{stroke:var(--dim);stroke-width:1;pointer-events:none}
svg .spot{fill:var(--c);stroke:var(--card);stroke-width:1.5;pointer-events:none}
@media (min-width:721px){.tiles:has(.tile:nth-child(4):last-child){grid-template-columns:1fr 1fr}}
@media screen and (max-width:720px){main{padding:24px 16px 48px}h1{font-size:27px}.lead{font-size:16px}
.grid,.two-one{grid-template-columns:1fr}.at-wide{display:none}.at-narrow{display:block}figure{padding:14px 14px 12px}
.tile .value{font-size:38px}}
@media print{@page{margin:14mm 12mm}body{font-size:11px;background:#fff}main{padding:0;max-width:none}
h1{font-size:26px}.lead{font-size:14px}section{padding-top:18px}nav,.save,.tip{display:none}
figure,.tile,tr,.notice{break-inside:avoid}h2,h3{break-after:avoid}figure,.tile,details,pre{border-color:#ddd}
.tile .value{font-size:34px}.fact .value{font-size:15px}.tile .label,.tile .note,.fact .label,.fact .note,
figcaption{font-size:10px}.facts{gap:8px 22px}.tile>svg.chart{width:260px;flex:0 1 260px}table,th,pre{font-size:10px}
pre{font-size:9px}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
)css";
}

}  // namespace ocoee::report
