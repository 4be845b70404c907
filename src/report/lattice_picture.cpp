// SPDX-License-Identifier: Apache-2.0
#include "report/lattice_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "report/markup.h"
#include "report/numbers.h"
#include "report/scale.h"
#include "report/svg.h"

namespace ocoee::report {
namespace {

struct Projected {
  double x, y, depth;  // depth grows towards the viewer
  int species;
};

class Camera {
 public:
  Camera(double azimuth, double elevation)
      : ca_(std::cos(azimuth * M_PI / 180)),
        sa_(std::sin(azimuth * M_PI / 180)),
        ce_(std::cos(elevation * M_PI / 180)),
        se_(std::sin(elevation * M_PI / 180)) {}
  Projected operator()(const std::array<double, 3>& r, int species) const {
    const double right = ca_ * r[0] + sa_ * r[1], away = -sa_ * r[0] + ca_ * r[1];
    return {right, -(se_ * away + ce_ * r[2]), se_ * r[2] - ce_ * away, species};
  }

 private:
  double ca_, sa_, ce_, se_;
};

bool drawable_point(const std::array<double, 3>& r) {
  return drawable(r[0]) && drawable(r[1]) && drawable(r[2]);
}

// Corners of the cell, and the twelve edges between them: corners whose numbers differ in one bit.
std::vector<std::array<double, 3>> corners_of(const std::vector<std::array<double, 3>>& cell) {
  std::vector<std::array<double, 3>> corners;
  if (cell.size() != 3 || !std::all_of(cell.begin(), cell.end(), drawable_point)) return corners;
  for (unsigned corner = 0; corner < 8; ++corner) {
    std::array<double, 3> r{0, 0, 0};
    for (unsigned edge = 0; edge < 3; ++edge)
      for (size_t k = 0; k < 3; ++k) r[k] += (corner >> edge & 1) * cell[edge][k];
    corners.push_back(r);
  }
  return corners;
}

}  // namespace

std::string lattice_picture(const LatticePicture& picture) {
  const Camera camera(picture.azimuth, picture.elevation);
  std::vector<Projected> atoms;
  for (size_t i = 0; i < picture.positions.size(); ++i)
    if (drawable_point(picture.positions[i]))
      atoms.push_back(
          camera(picture.positions[i], i < picture.species.size() ? picture.species[i] : 0));
  const size_t all = atoms.size();
  std::stable_sort(atoms.begin(), atoms.end(),
                   [](const Projected& a, const Projected& b) { return a.depth < b.depth; });
  if (all > picture.most_atoms)
    atoms.erase(atoms.begin(), atoms.end() - static_cast<std::ptrdiff_t>(picture.most_atoms));

  const auto corners = corners_of(picture.cell);
  Range xs, ys, depths;
  for (const Projected& a : atoms)
    xs.add(a.x, false), ys.add(a.y, false), depths.add(a.depth, false);
  for (const auto& corner : corners)
    xs.add(camera(corner, 0).x, false), ys.add(camera(corner, 0).y, false);
  if (xs.empty()) xs.low = ys.low = 0, xs.high = ys.high = 1;
  const double wide = std::max({xs.high - xs.low, (ys.high - ys.low) * 0.5, 1e-90});
  const double span = depths.empty() ? 0 : depths.high - depths.low;
  const bool is_plane = span < 1e-6 * wide;
  double radius = picture.radius;
  if (!(radius > 0)) {
    const auto count = static_cast<double>(std::max<size_t>(1, all));
    const double tall = ys.high - ys.low;
    radius = is_plane ? 0.42 * std::sqrt(std::max(wide * tall, 1e-90) / count)
                      : 0.32 * std::max(wide, tall) / std::cbrt(count);
  }
  const double scale = (picture.width - 8) / (wide + 2 * radius);
  const double height = (ys.high - ys.low + 2 * radius) * scale + 34;
  const double left = 4 + (picture.width - 8 - (xs.high - xs.low) * scale) / 2;
  const auto at = [&](const Projected& p) {
    return Point{left + (p.x - xs.low) * scale, 4 + (p.y - ys.low + radius) * scale};
  };

  std::string spoken = fmt::format("{} atoms", all);
  if (all > atoms.size())
    spoken += fmt::format(", the {} nearest to the viewer are drawn", atoms.size());
  Svg svg(picture.width, height, picture.title,
          picture.description.empty() ? spoken : picture.description, "chart lattice");
  for (unsigned a = 0; a < corners.size(); ++a)
    for (const unsigned bit : {1u, 2u, 4u})
      if ((a & bit) == 0) {
        const Point from = at(camera(corners[a], 0)), to = at(camera(corners[a | bit], 0));
        svg.line(from.x, from.y, to.x, to.y, "tick");
      }
  const double r = std::clamp(radius * scale, 0.8, 40.0);
  for (const Projected& a : atoms) {
    // four planes of depth: the farther, the nearer to the ground's colour
    const int plane =
        is_plane ? 0 : static_cast<int>(std::min(3.0, (depths.high - a.depth) / span * 4));
    svg.circle(at(a).x, at(a).y, r,
               fmt::format("atom far{} {}", plane, colour_class(std::max(0, a.species))));
  }
  double x = 4;
  for (size_t i = 0; i < std::min<size_t>(picture.names.size(), 12); ++i) {
    const std::string name = shorten(picture.names[i], 20);
    svg.circle(x + 6, height - 9, 5.5, "seg " + colour_class(static_cast<int>(i)));
    svg.text(x + 17, height - 5, name, "t");
    x += text_width(name, 12) + 38;
  }
  return svg.str();
}

}  // namespace ocoee::report
