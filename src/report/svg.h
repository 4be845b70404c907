// SPDX-License-Identifier: Apache-2.0
// One inline SVG picture. Colours come from classes of the page's style sheet (chart_style() in
// page.h), so the same picture serves light, dark and printed pages. Texts are escaped here;
// coordinates are pixels of the view box.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ocoee::report {

struct Point {
  double x = 0, y = 0;
};

// A coordinate with at most two decimals and no trailing zeros. The value must be finite.
std::string coordinate(double value);

// "M..L.." through the points; a point with a NaN lifts the pen. A lone point becomes a dot under a
// round cap.
std::string path_through(const std::vector<Point>& points);

class Svg {
 public:
  // `title` and `description` are read out by screen readers; `attributes` are written verbatim.
  Svg(double width, double height, std::string_view title, std::string_view description,
      std::string_view css_class = "chart", std::string_view attributes = "");

  // `tip` is the hover text. `attributes` is verbatim: the caller escapes.
  void line(double x1, double y1, double x2, double y2, std::string_view css_class);
  void rect(double x, double y, double width, double height, std::string_view css_class,
            std::string_view tip = "", std::string_view attributes = "");
  void circle(double x, double y, double radius, std::string_view css_class,
              std::string_view tip = "", std::string_view attributes = "");
  void path(std::string_view d, std::string_view css_class, std::string_view tip = "",
            std::string_view attributes = "");
  enum class Anchor { start, middle, end };
  void text(double x, double y, std::string_view text, std::string_view css_class,
            Anchor anchor = Anchor::start);
  void open_group(std::string_view css_class, std::string_view attributes = "");
  void close_group();
  void raw(std::string_view markup) { body_ += markup; }

  std::string str() const;

 private:
  void finish_element(std::string_view css_class, std::string_view tip, std::string_view attributes,
                      std::string_view tag);

  std::string head_, body_;
  int open_groups_ = 0;
};

// Class name of a series colour: the palette has eight, the ninth starts over.
std::string colour_class(int index);

}  // namespace ocoee::report
