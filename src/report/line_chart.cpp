// SPDX-License-Identifier: Apache-2.0
#include "report/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/downsample.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/svg.h"

namespace ocoee::report {
namespace {

constexpr double kFont = 12;  // labels
constexpr double kTickFont = 11.5;
constexpr double kLineHeight = 15;

struct Label {
  std::string text;
  std::string css_class;
  double y;       // of the thing it names
  double placed;  // of the text
};

// Moves labels apart so that none overlap, keeping their order and staying inside [top, bottom].
void spread(std::vector<Label>& labels, double top, double bottom) {
  std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.y < b.y; });
  double next = top;
  for (Label& label : labels) {
    label.placed = std::max(label.y, next);
    next = label.placed + kLineHeight;
  }
  double limit = bottom;
  for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
    label->placed = std::min(label->placed, limit);
    limit = label->placed - kLineHeight;
  }
}

class Drawing {
 public:
  explicit Drawing(const LineChart& chart) : chart_(chart) { measure(); }
  std::string draw();

 private:
  void measure();
  Range x_range() const;
  Range y_range() const;
  int colour(size_t i) const {
    return chart_.series[i].colour < 0 ? static_cast<int>(i) : chart_.series[i].colour;
  }
  std::string description() const;
  void draw_axes(Svg& svg) const;
  void draw_references(Svg& svg) const;
  void draw_series(Svg& svg, size_t i) const;
  void draw_labels(Svg& svg) const;
  double last_height(const Series& series) const;

  const LineChart& chart_;
  double left_ = 48, right_ = 16, top_ = 24, bottom_ = 44;
  bool legend_ = false;  // names stand above the plot instead of at the curves' ends
  bool reference_inside_ = false;
  std::vector<double> legend_at_;  // x of each legend entry
  Scale x_{0, 1, 0, 1, false}, y_{0, 1, 0, 1, false};
  std::vector<Tick> x_ticks_, y_ticks_;
};

Range Drawing::x_range() const {
  Range range;
  for (const Series& series : chart_.series) range.add(series.x, chart_.x.log);
  for (const Reference& reference : chart_.references)
    if (reference.vertical) range.add(reference.value, chart_.x.log);
  return range;
}

Range Drawing::y_range() const {
  Range range;
  const bool log = chart_.y.log;
  for (const Series& series : chart_.series) {
    range.add(series.y, log);
    range.add(series.low, log);
    range.add(series.high, log);
    for (size_t i = 0; i < std::min(series.error.size(), series.y.size()); ++i) {
      range.add(series.y[i] - series.error[i], log);
      range.add(series.y[i] + series.error[i], log);
    }
  }
  for (const Reference& reference : chart_.references)
    if (!reference.vertical) range.add(reference.value, log);
  return range;
}

void Drawing::measure() {
  double widest_series = 0, widest_reference = 0;
  size_t named = 0;
  for (const Series& series : chart_.series) {
    if (series.faint || series.name.empty()) continue;
    widest_series = std::max(widest_series, text_width(series.name, kFont));
    ++named;
  }
  for (const Reference& reference : chart_.references)
    if (!reference.vertical)
      widest_reference = std::max(widest_reference, text_width(reference.label, kFont));
  const double room = 0.26 * chart_.width;
  // The last of scattered points is no end of a curve to write a name at.
  const bool scatter = named > 1 && std::all_of(chart_.series.begin(), chart_.series.end(),
                                                [](const Series& series) {
                                                  return series.draw == Series::Draw::points;
                                                });
  legend_ = widest_series > room || named > 6 || scatter;
  reference_inside_ = widest_reference > room;
  double beside = 0;
  if (!legend_) beside = std::max(beside, widest_series);
  if (!reference_inside_) beside = std::max(beside, widest_reference);
  right_ = beside > 0 ? beside + 14 : 16;
  top_ = 26;
  if (legend_) {
    double at = 0, row = 0;
    for (const Series& series : chart_.series) {
      if (series.faint || series.name.empty()) continue;
      const double entry = text_width(shorten(series.name, 40), kFont) + 34;
      if (at > 0 && at + entry > chart_.width) at = 0, row += 1;
      legend_at_.push_back(row * 10000 + at);
      at += entry;
    }
    top_ += (row + 1) * 18;
  }
  bottom_ = (chart_.x.second ? 58 : 44) - (chart_.x.label.empty() ? 14 : 0);
  const double base = chart_.height - bottom_;
  y_ = make_scale(chart_.y, y_range(), base, top_, 0.05);
  y_ticks_ = make_ticks(chart_.y, y_, std::max(2, static_cast<int>((base - top_) / 32)));
  double widest_tick = 0;
  for (const Tick& tick : y_ticks_)
    widest_tick = std::max(widest_tick, text_width(tick.label, kTickFont));
  left_ = std::clamp(widest_tick + 12, 30.0, chart_.width / 3);
  x_ = make_scale(chart_.x, x_range(), left_, chart_.width - right_, 0.0);
  const auto place_ticks = [&](int count) { x_ticks_ = make_ticks(chart_.x, x_, count); };
  int count = std::max(2, static_cast<int>((chart_.width - left_ - right_) / 78));
  place_ticks(count);
  const auto crowded = [&] {
    for (size_t i = 1; i < x_ticks_.size(); ++i) {
      const double gap = x_(x_ticks_[i].value) - x_(x_ticks_[i - 1].value);
      const double half_widths = (text_width(x_ticks_[i].label, kTickFont) +
                                  text_width(x_ticks_[i - 1].label, kTickFont)) /
                                 2;
      if (!x_ticks_[i].label.empty() && !x_ticks_[i - 1].label.empty() && gap < half_widths + 10)
        return true;
    }
    return false;
  };
  while (crowded() && count > 1) place_ticks(--count);
}

std::string Drawing::description() const {
  if (!chart_.description.empty()) return chart_.description;
  std::string text;
  for (const Series& series : chart_.series) {
    if (series.faint) continue;
    double first = NAN, last = NAN;
    Range range;
    for (const double v : series.y) {
      if (!drawable(v)) continue;
      if (std::isnan(first)) first = v;
      last = v;
      range.add(v, false);
    }
    if (range.empty()) continue;
    text += fmt::format("{}{} from {} to {}, lowest {}, highest {}", text.empty() ? "" : "; ",
                        series.name.empty() ? chart_.y.label : series.name, significant(first),
                        significant(last), significant(range.low), significant(range.high));
  }
  return text.empty() ? "no values to draw" : text + ".";
}

void Drawing::draw_axes(Svg& svg) const {
  const double base = chart_.height - bottom_, end = chart_.width - right_;
  for (const Tick& tick : y_ticks_) {
    const double y = y_(tick.value);
    if (tick.label.empty()) {
      svg.line(left_, y, end, y, "grid minor");
      continue;
    }
    svg.line(left_, y, end, y, "grid");
    svg.text(left_ - 7, y + 4, tick.label, "t", Svg::Anchor::end);
  }
  svg.line(left_, base, end, base, "axis");
  for (const Tick& tick : x_ticks_) {
    const double x = x_(tick.value);
    svg.line(x, base, x, base + (tick.label.empty() ? 3 : 5), "tick");
    if (tick.label.empty()) continue;
    // a label near the picture's edge leans inwards
    const double half = text_width(tick.label, kTickFont) / 2;
    const double at = std::clamp(x, half, chart_.width - half);
    svg.text(at, base + 18, tick.label, "t", Svg::Anchor::middle);
    if (chart_.x.second)
      svg.text(at, base + 32, chart_.x.second(tick.value), "t dim", Svg::Anchor::middle);
  }
  if (!chart_.x.label.empty())
    svg.text((left_ + end) / 2, chart_.height - 6, chart_.x.label, "t", Svg::Anchor::middle);
  if (!chart_.y.label.empty()) svg.text(0, top_ - 12, chart_.y.label, "t");
}

void Drawing::draw_references(Svg& svg) const {
  const double base = chart_.height - bottom_, end = chart_.width - right_;
  for (const Reference& reference : chart_.references) {
    const std::string css = reference.colour < 0 ? "ref" : "ref " + colour_class(reference.colour);
    const double at = reference.vertical ? x_(reference.value) : y_(reference.value);
    if (std::isnan(at)) continue;
    if (reference.vertical) {
      svg.line(at, top_, at, base, css);
      // Above the frame, where no curve is, beside the name of the vertical axis.
      const double half = text_width(reference.label, kFont) / 2;
      const double from = chart_.y.label.empty() ? 0 : text_width(chart_.y.label, kFont) + 8;
      const double most = std::max(from + half, chart_.width - half);
      svg.text(std::clamp(at, from + half, most), top_ - 4, reference.label, "t dim",
               Svg::Anchor::middle);
    } else {
      svg.line(left_, at, end, at, css);
      if (reference_inside_)
        svg.text(end - 4, at - 5, shorten(reference.label, 60), "t", Svg::Anchor::end);
    }
  }
}

double Drawing::last_height(const Series& series) const {
  for (size_t i = std::min(series.x.size(), series.y.size()); i-- > 0;) {
    const double y = y_(series.y[i]);
    if (!std::isnan(y) && !std::isnan(x_(series.x[i]))) return y;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// What lies between gaps.
static std::vector<std::vector<Point>> pieces_of(const std::vector<Point>& points) {
  std::vector<std::vector<Point>> out;
  bool inside = false;
  for (const Point& p : points) {
    const bool here = !std::isnan(p.y);
    if (here && !inside) out.emplace_back();
    if (here) out.back().push_back(p);
    inside = here;
  }
  return out;
}

void Drawing::draw_series(Svg& svg, size_t i) const {
  const Series& series = chart_.series[i];
  const std::string css = colour_class(colour(i));
  const size_t n = std::min(series.x.size(), series.y.size());
  const int buckets =
      std::max(16, static_cast<int>((chart_.width - left_ - right_) * chart_.detail));
  const auto curve = [&](const std::vector<double>& values) {
    std::vector<Point> points;
    for (size_t k = 0; k < std::min(n, values.size()); ++k) {
      const double x = x_(series.x[k]), y = y_(values[k]);
      points.push_back(std::isnan(x) ? Point{y * NAN, NAN} : Point{x, y});
    }
    return downsample(points, buckets);
  };
  if (!series.low.empty() && series.low.size() == series.high.size()) {
    const auto above = pieces_of(curve(series.high)), below = pieces_of(curve(series.low));
    for (size_t k = 0; k < std::min(above.size(), below.size()); ++k) {
      std::vector<Point> outline = above[k];
      outline.insert(outline.end(), below[k].rbegin(), below[k].rend());
      svg.path(path_through(outline) + "Z", "band " + css);
    }
  }
  const std::vector<Point> points = curve(series.y);
  const bool hover = !series.faint && !series.name.empty();
  const std::string& said = series.hover.empty() ? series.name : series.hover;
  const std::string name = hover ? fmt::format("data-name=\"{}\"", escape_limited(said, 60)) : "";
  if (series.draw == Series::Draw::points) {
    if (hover) svg.path(path_through(points), "series ghost " + css, "", name);
  } else {
    svg.path(path_through(points),
             fmt::format("{}{}{} {}", hover ? "series " : "", series.faint ? "faint " : "line ",
                         series.dashed ? "dashed" : "", css),
             "", name);
  }
  for (size_t k = 0; k < std::min({n, series.error.size(), size_t{2000}}); ++k) {
    // On a logarithmic axis a bar that reaches zero ends where the axis does.
    const double lowest = series.y[k] - series.error[k];
    const double x = x_(series.x[k]), from = y_(chart_.y.log ? std::max(lowest, y_.low()) : lowest),
                 to = y_(series.y[k] + series.error[k]);
    if (std::isnan(x + from + to)) continue;
    svg.path(path_through({{x - 3, from},
                           {x + 3, from},
                           {NAN, NAN},
                           {x, from},
                           {x, to},
                           {NAN, NAN},
                           {x - 3, to},
                           {x + 3, to}}),
             "error " + css);
  }
  if (series.draw != Series::Draw::line) {
    const double radius = points.size() > 200 ? 1.8 : points.size() > 60 ? 2.4 : 3.4;
    for (const Point& p : points)
      if (!std::isnan(p.x) && !std::isnan(p.y)) svg.circle(p.x, p.y, radius, "dot " + css);
    for (size_t k = 0; k < std::min(n, series.hollow.size()); ++k) {
      const double x = x_(series.x[k]), y = y_(series.y[k]);
      if (series.hollow[k] && !std::isnan(x + y)) svg.circle(x, y, radius, "ring " + css);
    }
  }
}

void Drawing::draw_labels(Svg& svg) const {
  const double end = chart_.width - right_;
  std::vector<Label> labels;
  size_t entry = 0;
  for (size_t i = 0; i < chart_.series.size(); ++i) {
    const Series& series = chart_.series[i];
    if (series.faint || series.name.empty()) continue;
    const std::string css = colour_class(colour(i));
    if (legend_) {
      const double row = std::floor(legend_at_[entry] / 10000),
                   at = std::fmod(legend_at_[entry], 10000);
      ++entry;
      if (series.draw == Series::Draw::points)
        svg.circle(at + 10, 12 + row * 18 - 4, 3.4, "dot " + css);
      else
        svg.path(path_through({{at + 2, 12 + row * 18 - 4}, {at + 18, 12 + row * 18 - 4}}),
                 std::string(series.dashed ? "line dashed " : "line ") + css);
      svg.text(at + 24, 12 + row * 18, shorten(series.name, 40), "l " + css);
    } else if (const double y = last_height(series); !std::isnan(y)) {
      labels.push_back({series.name, "l " + css, y, y});
    }
  }
  if (!reference_inside_) {
    for (const Reference& reference : chart_.references) {
      const double y = reference.vertical ? NAN : y_(reference.value);
      if (!std::isnan(y))
        labels.push_back({reference.label,
                          reference.colour < 0 ? "t" : "l " + colour_class(reference.colour), y,
                          y});
    }
  }
  spread(labels, top_ + 2, chart_.height - bottom_);
  for (const Label& label : labels)
    svg.text(end + 8, label.placed + 4, label.text, label.css_class);
}

std::string Drawing::draw() {
  // What the page's script needs to turn a pixel back into values.
  const std::string plot = fmt::format(
      "data-plot=\"{} {} {} {} {} {} {} {} {} {}\" data-x=\"{}\"", x_.low(), x_.high(),
      coordinate(x_.from_pixel()), coordinate(x_.to_pixel()), x_.log() ? 1 : 0, y_.low(), y_.high(),
      coordinate(y_.from_pixel()), coordinate(y_.to_pixel()), y_.log() ? 1 : 0,
      escape_limited(chart_.x.label.substr(0, chart_.x.label.find(',')), 40));
  Svg svg(chart_.width, chart_.height, chart_.title, description(), "chart", plot);
  draw_axes(svg);
  // An inner picture clips what lies outside fixed limits, without an id that another chart could
  // share. It is a little wider than the plot: a dot at the last value stays whole.
  const double base = chart_.height - bottom_, end = chart_.width - right_;
  const bool clipped = chart_.y.low || chart_.y.high || chart_.x.low || chart_.x.high;
  const auto draw_all = [&](bool faint) {
    if (clipped) {
      svg.raw(fmt::format(
          "<svg x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" viewBox=\"{0} {1} {2} {3}\">",
          coordinate(left_ - 5), coordinate(top_), coordinate(end - left_ + 10),
          coordinate(base - top_)));
    }
    for (size_t i = 0; i < chart_.series.size(); ++i)
      if (chart_.series[i].faint == faint) draw_series(svg, i);
    if (clipped) svg.raw("</svg>");
  };
  draw_all(true);
  draw_references(svg);
  draw_all(false);
  draw_labels(svg);
  return svg.str();
}

}  // namespace

std::string line_chart(const LineChart& chart) {
  return Drawing(chart).draw();
}

}  // namespace ocoee::report
