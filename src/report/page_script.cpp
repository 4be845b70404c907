// SPDX-License-Identifier: Apache-2.0
// The page's script. Without it everything is still there: it only adds the cross-hair over curves,
// quick hover texts, a button that saves a picture with its colours written out (for slides), and
// open folds in print.
#include "report/page.h"

namespace ocoee::report {

const char* page_script() {
  return R"js((function () {
"use strict";
var NS = "http://www.w3.org/2000/svg";
var tip = document.createElement("div");
tip.className = "tip";
document.body.appendChild(tip);

function text(parent, tag, value) {
  var e = document.createElement(tag);
  e.textContent = value;
  parent.appendChild(e);
  return e;
}
function place(event) {
  tip.classList.add("on");
  var box = tip.getBoundingClientRect();
  var x = event.clientX + 14, y = event.clientY + 14;
  if (x + box.width > innerWidth - 8) x = event.clientX - box.width - 12;
  if (y + box.height > innerHeight - 8) y = event.clientY - box.height - 12;
  tip.style.left = Math.max(4, x) + "px";
  tip.style.top = Math.max(4, y) + "px";
}
function hide() { tip.classList.remove("on"); }

function grouped(digits) { return digits.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202F"); }
function number(v) {
  if (v === 0) return "0";
  var size = Math.abs(v);
  if (size >= 1e15 || size < 1e-4) return v.toExponential(3);
  if (Math.abs(v - Math.round(v)) < 1e-9 * size || size >= 1e5) return grouped(String(Math.round(v)));
  return String(Number(v.toPrecision(5)));
}

/* the names of parts become hover texts of our own; the browser's would come late */
document.querySelectorAll("svg.chart").forEach(function (svg) {
  svg.querySelectorAll("title").forEach(function (title) {
    var owner = title.parentNode;
    if (owner === svg) svg.setAttribute("aria-label", title.textContent);
    else owner.setAttribute("data-tip", title.textContent);
    title.remove();
  });
  svg.addEventListener("pointermove", function (event) {
    var owner = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (!owner) { if (!svg.dataset.plot) hide(); return; }
    tip.textContent = owner.getAttribute("data-tip");
    place(event);
  });
  svg.addEventListener("pointerleave", hide);
});

/* curves: a cross-hair and the value of every curve at it */
document.querySelectorAll("svg.chart[data-plot]").forEach(function (svg) {
  var p = svg.dataset.plot.split(" ").map(Number);
  function scale(lo, hi, a, b, log) {
    return function (px) {
      var t = (px - a) / (b - a);
      return log ? Math.pow(10, Math.log10(lo) + t * (Math.log10(hi) - Math.log10(lo))) : lo + t * (hi - lo);
    };
  }
  var xOf = scale(p[0], p[1], p[2], p[3], p[4]), yOf = scale(p[5], p[6], p[7], p[8], p[9]);
  var curves = null, marks = null;
  function read() {
    curves = [];
    svg.querySelectorAll(".series[data-name]").forEach(function (path) {
      var d = path.getAttribute("d").split(/[ML]/).filter(Boolean).map(function (s) { return s.split(",").map(Number); });
      var c = (path.getAttribute("class").match(/\bc\d\b/) || ["c0"])[0];
      if (d.length) curves.push({ name: path.dataset.name, points: d, c: c });
    });
    marks = document.createElementNS(NS, "g");
    svg.appendChild(marks);
  }
  function nearest(points, x) {
    var lo = 0, hi = points.length - 1;
    while (hi - lo > 1) { var m = (lo + hi) >> 1; if (points[m][0] <= x) lo = m; else hi = m; }
    return Math.abs(points[lo][0] - x) <= Math.abs(points[hi][0] - x) ? points[lo] : points[hi];
  }
  svg.addEventListener("pointermove", function (event) {
    if (!curves) read();
    var box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal, k = view.width / box.width;
    var x = (event.clientX - box.left) * k;
    marks.textContent = "";
    if (!curves.length || x < p[2] - 8 || x > p[3] + 8) { hide(); return; }
    var at = null;
    var hits = curves.map(function (c) { return { c: c, point: nearest(c.points, x) }; });
    hits.forEach(function (h) { if (at === null || Math.abs(h.point[0] - x) < Math.abs(at - x)) at = h.point[0]; });
    hits = hits.filter(function (h) { return Math.abs(h.point[0] - at) < 2; });
    var line = document.createElementNS(NS, "line");
    [["x1", at], ["x2", at], ["y1", p[8]], ["y2", p[7]], ["class", "cross"]].forEach(function (a) { line.setAttribute(a[0], a[1]); });
    marks.appendChild(line);
    tip.textContent = "";
    var xValue = xOf(at);
    if (/step|order|tokens|samples/.test(svg.dataset.x)) xValue = Math.round(xValue);
    text(tip, "span", (svg.dataset.x + " " + number(xValue)).trim());
    hits.forEach(function (h) {
      var dot = document.createElementNS(NS, "circle");
      [["cx", h.point[0]], ["cy", h.point[1]], ["r", 4], ["class", "spot " + h.c.c]].forEach(function (a) { dot.setAttribute(a[0], a[1]); });
      marks.appendChild(dot);
      var row = text(tip, "div", h.c.name + " ");
      text(row, "b", number(Number(yOf(h.point[1]).toPrecision(5))));
    });
    place(event);
  });
  svg.addEventListener("pointerleave", function () { if (marks) marks.textContent = ""; });
});

/* a picture on its own, for slides: every style written out */
var kept = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity",
  "font-size", "font-family", "font-weight", "text-anchor"];
function save(figure) {
  var svg = Array.prototype.filter.call(figure.querySelectorAll("svg.chart"), function (s) { return s.getBoundingClientRect().width > 0; })[0];
  if (!svg) return;
  var copy = svg.cloneNode(true), from = svg.querySelectorAll("*"), to = copy.querySelectorAll("*");
  for (var i = 0; i < from.length; ++i) {
    var style = getComputedStyle(from[i]);
    kept.forEach(function (name) { to[i].setAttribute(name, style.getPropertyValue(name)); });
    to[i].removeAttribute("class");
  }
  var view = svg.viewBox.baseVal;
  copy.setAttribute("width", view.width);
  copy.setAttribute("height", view.height);
  var link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
  link.download = (svg.getAttribute("aria-label") || "figure").toLowerCase().replace(/[^a-z0-9]+/g, "-") + ".svg";
  link.click();
  setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
}
document.querySelectorAll("figure").forEach(function (figure) {
  if (!figure.querySelector("svg.chart")) return;
  var button = text(figure, "button", "Save SVG");
  button.className = "save";
  button.type = "button";
  button.addEventListener("click", function () { save(figure); });
});

addEventListener("beforeprint", function () {
  document.querySelectorAll("details").forEach(function (d) { d.open = true; });
});
})();
)js";
}

}  // namespace ocoee::report
