// SPDX-License-Identifier: Apache-2.0
// Pictures must be well-formed and sensible for any data: extremes kept, gaps kept, hostile names
// harmless.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "core/random.h"
#include "report/bar_chart.h"
#include "report/downsample.h"
#include "report/heat_map.h"
#include "report/lattice_picture.h"
#include "report/line_chart.h"
#include "report/scale.h"
#include "report/timeline.h"
#include "report/xml_check.h"

namespace ocoee::report {
namespace {

using testing_support::read_xml;
using testing_support::XmlDocument;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Well-formed, named for screen readers, and every coordinate a plain number.
XmlDocument check_picture(const std::string& svg) {
  const XmlDocument document = read_xml(svg);
  EXPECT_EQ(document.error, "");
  EXPECT_EQ(document.elements.at(0).name, "svg");
  EXPECT_EQ(document.elements.at(1).name, "title");
  EXPECT_EQ(document.elements.at(2).name, "desc");
  for (const auto& element : document.elements) {
    for (const auto& [key, value] : element.attributes) {
      if (key == "data-name" || key == "data-x" || key == "class") continue;
      EXPECT_EQ(value.find("nan"), std::string::npos) << key << "=" << value;
      EXPECT_EQ(value.find("inf"), std::string::npos) << key << "=" << value;
    }
  }
  return document;
}

std::vector<std::string> tick_labels(const Axis& axis, double low, double high, int count) {
  std::vector<std::string> labels;
  for (const Tick& tick : make_ticks(axis, Scale(low, high, 0, 100, axis.log), count))
    labels.push_back(tick.label);
  return labels;
}

TEST(Ticks, AreOneTwoOrFive) {
  using Labels = std::vector<std::string>;
  EXPECT_EQ(tick_labels({}, 1.88, 2.0, 6),
            (Labels{"1.88", "1.90", "1.92", "1.94", "1.96", "1.98", "2.00"}));
  EXPECT_EQ(tick_labels({}, 0, 650, 6), (Labels{"0", "200", "400", "600"}));
  EXPECT_EQ(tick_labels({}, 0, 100000, 5), (Labels{"0", "20\u202F000", "40\u202F000", "60\u202F000",
                                                   "80\u202F000", "100\u202F000"}));
  EXPECT_EQ(tick_labels({}, 0, 3e6, 3), (Labels{"0", "1\u202FM", "2\u202FM", "3\u202FM"}));
  EXPECT_EQ(tick_labels({}, -1, 1, 2), (Labels{"\u22121", "0", "1"}));
  Axis log;
  log.log = true;
  EXPECT_EQ(tick_labels(log, 0.01, 100, 6),
            (Labels{"0.01", "", "", "0.1", "", "", "1", "", "", "10", "", "", "100"}));
  EXPECT_EQ(tick_labels(log, 1, 10, 6), (Labels{"1", "2", "5", "10"}));
  // Between 5 and 10 there is no mantissa to label.
  EXPECT_EQ(tick_labels(log, 0.052, 0.088, 4), (Labels{"0.06", "0.07", "0.08"}));
}

TEST(Ticks, LieInsideAnyRangeAndStayFew) {
  RandomStream random(3, Purpose::noise, 0, 0);
  for (int round = 0; round < 3000; ++round) {
    const double size = std::pow(10.0, random.uniform() * 60 - 30);
    const double middle = random.normal() * size * (round % 3 == 0 ? 1e9 : 1);
    Range range;
    range.add(middle - size, false);
    range.add(middle + size * random.uniform(), false);
    Axis axis;
    axis.log = round % 2 == 0 && range.low > 0;
    const Scale scale = make_scale(axis, range, 0, 300, 0.05);
    const auto ticks = make_ticks(axis, scale, 6);
    EXPECT_LE(ticks.size(), 64u);
    const double slack = (scale.high() - scale.low()) * 1e-6;
    for (const Tick& tick : ticks) {
      EXPECT_GE(tick.value, scale.low() - slack);
      EXPECT_LE(tick.value, scale.high() + slack);
      EXPECT_TRUE(std::isfinite(scale(tick.value)));
    }
  }
}

TEST(Scale, HandlesConstantsAndNothing) {
  Range constant;
  constant.add(0, false);
  EXPECT_LT(make_scale({}, constant, 0, 1, 0).low(), 0);
  Range large;
  large.add(1e9, false);
  EXPECT_GT(make_scale({}, large, 0, 1, 0).high(), 1e9);
  EXPECT_LT(make_scale({}, Range{}, 0, 1, 0).low(), make_scale({}, Range{}, 0, 1, 0).high());
  Axis zero;
  zero.from_zero = true;
  EXPECT_EQ(make_scale(zero, large, 0, 1, 0.1).low(), 0);
}

TEST(Downsample, KeepsEveryExtremeAndTheEnds) {
  std::vector<Point> points;
  RandomStream random(5, Purpose::noise, 0, 0);
  for (int i = 0; i < 100000; ++i) points.push_back({static_cast<double>(i), random.normal()});
  points[43210].y = 1e6;  // one spike of one step
  points[43211].y = -1e6;
  const auto kept = downsample(points, 500);
  EXPECT_LE(kept.size(), 4 * 500u);
  EXPECT_EQ(kept.front().x, 0);
  EXPECT_EQ(kept.back().x, 99999);
  const auto same = [](const Point& a) {
    return [&a](const Point& b) { return a.x == b.x && a.y == b.y; };
  };
  EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), same(points[43210])));
  EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), same(points[43211])));
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(),
                             [](const Point& a, const Point& b) { return a.x < b.x; }));
}

TEST(Downsample, KeepsGapsThatCanBeSeen) {
  std::vector<Point> points;
  for (int i = 0; i < 20000; ++i)
    points.push_back({static_cast<double>(i), i >= 8000 && i < 12000 ? kNaN : 1.0});
  const auto kept = downsample(points, 100);
  EXPECT_EQ(std::count_if(kept.begin(), kept.end(), [](const Point& p) { return std::isnan(p.y); }),
            1);
  for (int i = 0; i < 20000; i += 2)
    points[static_cast<size_t>(i)].y = kNaN;  // every other value missing
  EXPECT_LE(downsample(points, 100).size(), 401u);
  std::vector<Point> all_gaps(1000, Point{kNaN, kNaN});
  EXPECT_EQ(downsample(all_gaps, 10).size(), 1000u);  // nothing to thin; nothing is drawn either
}

TEST(RunningMean, SkipsGapsAndFollowsAStraightLine) {
  std::vector<double> values(101);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 2.0 * static_cast<double>(i);
  EXPECT_DOUBLE_EQ(running_mean(values, 10)[0], 0.0);  // narrowed at the start
  EXPECT_DOUBLE_EQ(running_mean(values, 10)[50], 100.0);
  values[50] = kNaN;
  EXPECT_DOUBLE_EQ(running_mean(values, 1)[50], 100.0);
  EXPECT_TRUE(std::isnan(running_mean({kNaN, kNaN}, 3)[1]));
}

TEST(LineChart, DrawsAnyData) {
  const std::vector<std::vector<double>> datasets = {{},
                                                     {1.0},
                                                     {2, 2, 2},
                                                     {kNaN, kNaN},
                                                     {1, kNaN, 3, kInf, 2, -kInf},
                                                     {0, -1, 5},
                                                     {1e308, -1e308, 1e-308},
                                                     {1e-320, 2e-320},
                                                     {1e9, 1e9 + 1e-6}};
  for (const auto& y : datasets) {
    for (const bool log : {false, true}) {
      for (const auto draw :
           {Series::Draw::line, Series::Draw::line_and_points, Series::Draw::points}) {
        LineChart chart;
        chart.title = "any";
        chart.x.log = log;
        chart.y.log = log;
        std::vector<double> x, error;
        for (size_t i = 0; i < y.size(); ++i)
          x.push_back(static_cast<double>(i)), error.push_back(i == 0 ? kInf : 0.5);
        chart.series = {{.name = "a", .x = x, .y = y, .error = error, .draw = draw},
                        {.name = "band", .x = x, .y = y, .low = y, .high = y}};
        chart.references = {{"reference", 1.5}, {"infinite", kInf}, {"upright", 0.5, true}};
        check_picture(line_chart(chart));
      }
    }
  }
}

TEST(LineChart, ABandHasTheGapsOfItsCurve) {
  const auto bands = [](double third) {
    LineChart chart;
    const std::vector<double> x{0, 1, 2, 3, 4}, y{1, 2, third, 2, 1};
    chart.series = {{.name = "a", .x = x, .y = y, .low = y, .high = y}};
    const std::string picture = line_chart(chart);
    size_t count = 0;
    for (size_t at = picture.find("class=\"band"); at != std::string::npos;
         at = picture.find("class=\"band", at + 1))
      ++count;
    return count;
  };
  EXPECT_EQ(bands(3), 1u);
  EXPECT_EQ(bands(NAN), 2u);
}

TEST(LineChart, HostileNamesStayText) {
  LineChart chart;
  chart.title = "</title><script>alert(1)</script>";
  chart.x.label = "\"><img src=x>";
  chart.y.label = "<b>&amp;";
  chart.series = {{.name = "<script>\" onload=\"x", .x = {0, 1}, .y = {1, 2}}};
  chart.references = {{"'<svg/onload=1>'", 1.2}};
  const XmlDocument document = check_picture(line_chart(chart));
  EXPECT_EQ(document.count("script"), 0u);
  EXPECT_EQ(document.count("img"), 0u);
  EXPECT_EQ(document.count("svg"), 1u);
}

TEST(LineChart, LabelsDoNotOverlap) {
  LineChart chart;
  for (int i = 0; i < 5; ++i)
    chart.series.push_back(
        {.name = "curve " + std::to_string(i), .x = {0, 1}, .y = {0, 1 + 1e-3 * i}});
  const XmlDocument document = check_picture(line_chart(chart));
  std::vector<double> heights;
  for (const auto& e : document.elements)
    if (e.name == "text" && e.text.starts_with("curve"))
      heights.push_back(std::stod(e.attributes.at("y")));
  ASSERT_EQ(heights.size(), 5u);
  std::sort(heights.begin(), heights.end());
  for (size_t i = 1; i < heights.size(); ++i) EXPECT_GE(heights[i] - heights[i - 1], 14);
}

TEST(LineChart, ScatteredPointsAreNamedAboveThePlot) {
  const auto height_of_name = [](Series::Draw draw) {
    LineChart chart;
    for (const char* name : {"held out", "fitted to"})
      chart.series.push_back({.name = name, .x = {0, 1, 0.5}, .y = {0, 1, 0.5}, .draw = draw});
    const XmlDocument document = check_picture(line_chart(chart));
    for (const auto& e : document.elements)
      if (e.name == "text" && e.text == "held out") return std::stod(e.attributes.at("y"));
    return -1.0;
  };
  EXPECT_EQ(height_of_name(Series::Draw::points), 12);
  EXPECT_GT(height_of_name(Series::Draw::line), 50);
}

TEST(LineChart, ManyLongNamesBecomeALegendInsideThePicture) {
  LineChart chart;
  chart.width = 444;
  for (int i = 0; i < 12; ++i)
    chart.series.push_back({.name = "a rather long name of a curve " + std::to_string(i),
                            .x = {0, 1},
                            .y = {0.0, 1.0 * i}});
  const XmlDocument document = check_picture(line_chart(chart));
  EXPECT_TRUE(document.has_text("long name of a curve 11"));
  for (const auto& e : document.elements)
    if (e.name == "text") {
      EXPECT_LT(std::stod(e.attributes.at("x")), 444);
    }
}

TEST(LineChart, ValuesComeBackFromPixels) {  // what the hover script computes
  LineChart chart;
  chart.y.log = true;
  chart.series = {{.name = "s", .x = {10, 20, 30}, .y = {0.001, 1, 100}}};
  const XmlDocument document = check_picture(line_chart(chart));
  double p[10];
  ASSERT_EQ(sscanf(document.elements[0].attributes.at("data-plot").c_str(),
                   "%lf %lf %lf %lf %lf %lf %lf %lf %lf %lf", p, p + 1, p + 2, p + 3, p + 4, p + 5,
                   p + 6, p + 7, p + 8, p + 9),
            10);
  for (const auto& e : document.elements) {
    if (!e.attributes.contains("data-name")) continue;
    double x[3], y[3];
    ASSERT_EQ(sscanf(e.attributes.at("d").c_str(), "M%lf,%lfL%lf,%lfL%lf,%lf", x, y, x + 1, y + 1,
                     x + 2, y + 2),
              6);
    EXPECT_NEAR(p[0] + (x[1] - p[2]) / (p[3] - p[2]) * (p[1] - p[0]), 20, 0.01);
    const double t = (y[1] - p[7]) / (p[8] - p[7]);
    EXPECT_NEAR(std::pow(10, std::log10(p[5]) + t * (std::log10(p[6]) - std::log10(p[5]))), 1,
                0.001);
  }
}

// An error as large as its value leads a bar to the end of a logarithmic axis, not away.
TEST(LineChart, ErrorsDownToZeroAreDrawnOnALogarithmicAxis) {
  LineChart chart;
  chart.y.log = true;
  chart.series = {{.name = "s", .x = {1, 2, 3}, .y = {0.1, 1, 10}, .error = {0.02, 1.5, 10}}};
  int bars = 0;
  for (const auto& e : check_picture(line_chart(chart)).elements)
    bars += e.attributes.contains("class") && e.attributes.at("class").starts_with("error");
  EXPECT_EQ(bars, 3);
}

TEST(BarChart, SharesAndTotals) {
  BarChart chart;
  chart.title = "time";
  chart.rows = {{"a<b", {{"forward", 30}, {"back & forth", 60}, {"nothing", 0}, {"broken", kNaN}}},
                {"empty", {}}};
  chart.limit = 120;
  chart.limit_label = "limit";
  const XmlDocument document = check_picture(bar_chart(chart));
  double widths[2] = {0, 0};
  size_t n = 0;
  for (const auto& e : document.elements)
    if (e.name == "rect" && e.attributes.at("height") == "30" && n < 2)
      widths[n++] = std::stod(e.attributes.at("width")) + 1;
  ASSERT_EQ(n, 2u);
  EXPECT_NEAR(widths[1] / widths[0], 2.0, 0.01);
  EXPECT_TRUE(document.has_text("forward: 30.00 (33.3"));
  check_picture(bar_chart(BarChart{}));
}

TEST(HeatMap, RunsOfEqualCellsAreOneStroke) {
  HeatMap map;
  map.columns = 64, map.rows = 64;
  map.colours = HeatMap::Colours::categories;
  map.categories = {"Cu", "Au"};
  map.values.assign(64 * 64, 0);
  map.values[5 * 64 + 7] = 1;
  const XmlDocument document = check_picture(heat_map(map));
  EXPECT_EQ(document.count("path"), 2u);
  EXPECT_LT(heat_map(map).size(), 4000u);
  EXPECT_TRUE(document.has_text("Au"));
}

// Where the labels of a picture stand that have this anchor: "middle" below, "end" at the left.
std::map<std::string, double> labels_at(const XmlDocument& document, const std::string& anchor) {
  std::map<std::string, double> places;
  for (const auto& e : document.elements)
    if (e.name == "text" && e.attributes.contains("text-anchor") &&
        e.attributes.at("text-anchor") == anchor)
      places[e.text] = std::stod(e.attributes.at(anchor == "middle" ? "x" : "y"));
  return places;
}

TEST(HeatMap, TicksLieAtTheMiddlesOfCells) {
  HeatMap map;
  map.columns = map.rows = 5;
  for (int i = 0; i < 25; ++i) map.values.push_back(i);
  const XmlDocument plain = check_picture(heat_map(map));
  EXPECT_EQ(plain.count("line"), 0u);
  map.x = {.label = "h, r.l.u.", .low = -1, .high = 1};
  map.y = {.label = "k, r.l.u.", .low = 10, .high = 14};
  for (const size_t most : {size_t{160}, size_t{4}}) {  // 4: two cells a side become one
    map.most_cells_a_side = most;
    const XmlDocument document = check_picture(heat_map(map));
    EXPECT_TRUE(document.has_text("h, r.l.u.") && document.has_text("k, r.l.u."));
    testing_support::XmlElement frame;
    for (const auto& e : document.elements)
      if (e.attributes.contains("class") && e.attributes.at("class") == "frame") frame = e;
    const auto at = [&](const char* key) { return std::stod(frame.attributes.at(key)); };
    const double shown = most == 160 ? 5 : 6;  // columns of the field that the frame has room for
    const auto x = labels_at(document, "middle"), y = labels_at(document, "end");
    EXPECT_NEAR(x.at("\u22121"), at("x") + 0.5 / shown * at("width"), 0.1);
    EXPECT_NEAR(x.at("0"), at("x") + 2.5 / shown * at("width"), 0.1);
    EXPECT_NEAR(x.at("1"), at("x") + 4.5 / shown * at("width"), 0.1);
    EXPECT_NEAR(y.at("10"), 4 + at("y") + 4.5 / shown * at("height"), 0.1);  // y grows upwards
    EXPECT_NEAR(y.at("14"), 4 + at("y") + 0.5 / shown * at("height"), 0.1);
  }
  map.y.high = 10;
  check_picture(heat_map(map));
}

TEST(HeatMap, LargeAndBrokenFields) {
  HeatMap map;
  map.columns = 1000, map.rows = 1000;
  RandomStream random(9, Purpose::noise, 0, 0);
  for (int i = 0; i < 1000 * 1000; ++i) map.values.push_back(random.normal());
  map.values[3] = kNaN;
  map.values[4] = kInf;
  const std::string picture = heat_map(map);
  check_picture(picture);
  EXPECT_LT(picture.size(), 600000u);
  map.colours = HeatMap::Colours::diverging;
  map.values.resize(10);  // fewer values than cells
  check_picture(heat_map(map));
  check_picture(heat_map(HeatMap{}));
}

TEST(LatticePicture, NearAtomsLieInFront) {
  LatticePicture picture;
  picture.azimuth = 0, picture.elevation = 0;  // seen along +y: small y is near
  picture.positions = {{0, -1, 0}, {0, 1, 0}};
  picture.species = {1, 0};
  picture.names = {"far", "near"};
  picture.cell = {{2, 0, 0}, {0, 2, 0}, {0, 0, 2}};
  const XmlDocument document = check_picture(lattice_picture(picture));
  std::vector<std::string> order;
  for (const auto& e : document.elements)
    if (e.name == "circle" && e.attributes.at("class").starts_with("atom"))
      order.push_back(e.attributes.at("class"));
  EXPECT_EQ(order, (std::vector<std::string>{"atom far3 c0", "atom far0 c1"}));
  EXPECT_EQ(document.count("line"), 12u);
}

TEST(LatticePicture, AtomsOfAPlaneNearlyTouch) {
  LatticePicture picture;
  picture.azimuth = 0, picture.elevation = 90;
  for (int i = 0; i < 400; ++i) {
    picture.positions.push_back({static_cast<double>(i % 20), static_cast<double>(i / 20), 0});
    picture.species.push_back(i < 20 ? 1 : 0);  // the row y = 0
  }
  picture.cell = {{20, 0, 0}, {0, 20, 0}, {0, 0, 0}};
  const XmlDocument document = check_picture(lattice_picture(picture));
  std::vector<std::array<double, 3>> row, others;
  for (const auto& e : document.elements) {
    if (e.name != "circle" ||
        !e.attributes.at("class").starts_with("atom far0"))  // none is farther
      continue;
    (e.attributes.at("class").ends_with("c1") ? row : others)
        .push_back({std::stod(e.attributes.at("cx")), std::stod(e.attributes.at("cy")),
                    std::stod(e.attributes.at("r"))});
  }
  ASSERT_EQ(row.size(), 20u);
  ASSERT_EQ(others.size(), 380u);
  const double apart = row[1][0] - row[0][0];
  EXPECT_GT(2 * row[0][2], 0.7 * apart);
  EXPECT_LT(2 * row[0][2], apart);
  for (const auto& other : others) EXPECT_LT(other[1], row[0][1]);  // y upwards
}

TEST(LatticePicture, AnyAtomsAndTooMany) {
  LatticePicture picture;
  check_picture(lattice_picture(picture));
  picture.positions = {{0, 0, 0}};
  check_picture(lattice_picture(picture));
  picture.positions = {{kNaN, 0, 0}, {kInf, 1, 1}, {1e200, 0, 0}};
  check_picture(lattice_picture(picture));
  picture.positions.assign(50000, {1, 2, 3});
  const XmlDocument document = check_picture(lattice_picture(picture));
  EXPECT_EQ(document.count("circle"), 6000u);
  EXPECT_NE(document.elements[2].text.find("50000 atoms, the 6000 nearest"), std::string::npos);
}

TEST(Timeline, NestsSpansBelowTheirParents) {
  Timeline picture;
  picture.title = "t";
  picture.begin = 0, picture.end = 1;
  picture.tracks = {
      {"rank 0",
       "compute",
       {{"forward", 0, 0.5}, {"layer", 0.1, 0.2}, {"layer", 0.2, 0.3}, {"optimizer", 0.6, 0.9}}}};
  const XmlDocument document = check_picture(timeline(picture));
  std::map<std::string, double> height;
  for (size_t i = 0; i + 1 < document.elements.size(); ++i)
    if (document.elements[i].name == "rect" && document.elements[i + 1].name == "title")
      height[document.elements[i + 1].text.substr(0, document.elements[i + 1].text.find(':'))] =
          std::stod(document.elements[i].attributes.at("y"));
  EXPECT_GT(height.at("layer"), height.at("forward"));
  EXPECT_EQ(height.at("optimizer"), height.at("forward"));
}

TEST(Timeline, ManyTinySpansStaySmall) {
  Timeline picture;
  picture.begin = 0, picture.end = 1;
  picture.tracks = {{"rank 0", "compute", {}}};
  for (int i = 0; i < 100000; ++i)
    picture.tracks[0].spans.push_back({"layer", i * 1e-5, i * 1e-5 + 9e-6});
  picture.tracks[0].spans.push_back({"<hostile>", kNaN, kInf});
  const std::string svg = timeline(picture);
  check_picture(svg);
  EXPECT_LT(svg.size(), 500000u);
}

}  // namespace
}  // namespace ocoee::report
