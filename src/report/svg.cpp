// SPDX-License-Identifier: Apache-2.0
#include "report/svg.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "report/markup.h"

namespace ocoee::report {

std::string coordinate(double value) {
  OCOEE_CHECK(std::isfinite(value), "a coordinate of a picture is not finite");
  std::string text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string path_through(const std::vector<Point>& points) {
  std::string d;
  bool pen_down = false;
  for (size_t i = 0; i < points.size(); ++i) {
    if (std::isnan(points[i].x) || std::isnan(points[i].y)) {
      pen_down = false;
      continue;
    }
    const std::string at = coordinate(points[i].x) + "," + coordinate(points[i].y);
    const bool ends_here =
        i + 1 == points.size() || std::isnan(points[i + 1].x) || std::isnan(points[i + 1].y);
    if (!pen_down) {
      d += "M" + at;
      if (ends_here) d += "L" + at;
    } else {
      d += "L" + at;
    }
    pen_down = true;
  }
  return d;
}

Svg::Svg(double width, double height, std::string_view title, std::string_view description,
         std::string_view css_class, std::string_view attributes) {
  head_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\"",
      css_class, coordinate(width), coordinate(height));
  if (!attributes.empty()) head_ += " " + std::string(attributes);
  head_ += "><title>" + escape(title) + "</title><desc>" + escape(description) + "</desc>";
}

void Svg::finish_element(std::string_view css_class, std::string_view tip,
                         std::string_view attributes, std::string_view tag) {
  if (!css_class.empty()) body_ += fmt::format(" class=\"{}\"", css_class);
  if (!attributes.empty()) body_ += " " + std::string(attributes);
  if (tip.empty()) {
    body_ += "/>";
  } else {
    body_ += fmt::format("><title>{}</title></{}>", escape(tip), tag);
  }
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view css_class) {
  body_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"", coordinate(x1),
                       coordinate(y1), coordinate(x2), coordinate(y2));
  finish_element(css_class, "", "", "line");
}

void Svg::rect(double x, double y, double width, double height, std::string_view css_class,
               std::string_view tip, std::string_view attributes) {
  body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", coordinate(x),
                       coordinate(y), coordinate(std::max(0.0, width)),
                       coordinate(std::max(0.0, height)));
  finish_element(css_class, tip, attributes, "rect");
}

void Svg::circle(double x, double y, double radius, std::string_view css_class,
                 std::string_view tip, std::string_view attributes) {
  body_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"", coordinate(x), coordinate(y),
                       coordinate(radius));
  finish_element(css_class, tip, attributes, "circle");
}

void Svg::path(std::string_view d, std::string_view css_class, std::string_view tip,
               std::string_view attributes) {
  body_ += fmt::format("<path d=\"{}\"", d);
  finish_element(css_class, tip, attributes, "path");
}

void Svg::text(double x, double y, std::string_view text, std::string_view css_class,
               Anchor anchor) {
  constexpr const char* anchors[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};
  body_ += fmt::format("<text x=\"{}\" y=\"{}\" class=\"{}\"{}>{}</text>", coordinate(x),
                       coordinate(y), css_class, anchors[static_cast<int>(anchor)], escape(text));
}

void Svg::open_group(std::string_view css_class, std::string_view attributes) {
  body_ += "<g";
  if (!css_class.empty()) body_ += fmt::format(" class=\"{}\"", css_class);
  if (!attributes.empty()) body_ += " " + std::string(attributes);
  body_ += ">";
  ++open_groups_;
}

void Svg::close_group() {
  OCOEE_CHECK(open_groups_ > 0, "a group is closed that was not opened");
  --open_groups_;
  body_ += "</g>";
}

std::string Svg::str() const {
  OCOEE_CHECK(open_groups_ == 0, "a group of a picture is still open");
  return head_ + body_ + "</svg>\n";
}

std::string colour_class(int index) {
  return fmt::format("c{}", ((index % 8) + 8) % 8);
}

}  // namespace ocoee::report
