// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/formats.h"

#include "core/error.h"
#include "core/file.h"
#include "data/bytes.h"

namespace ocoee::atoms {

bool is_info_evec(const std::filesystem::path& path) {
  return path.filename().string().starts_with("info_evec_out") || path.extension() == ".evec";
}

std::vector<Frame> read_structures(const std::filesystem::path& path,
                                   const std::vector<double>& edges) {
  const std::string file = path.filename().string(), ending = path.extension().string();
  const bool is_extxyz = ending == ".extxyz" || ending == ".xyz";
  const bool is_poscar = ending == ".poscar" || ending == ".vasp" || file.starts_with("POSCAR") ||
                         file.starts_with("CONTCAR");
  const bool is_lsms = is_info_evec(path);
  if (!is_extxyz && !is_poscar && !is_lsms) {
    fail(ErrorKind::data,
         "{}: the name does not tell the format\n    fix: *.extxyz or *.xyz for extended XYZ; "
         "POSCAR*, CONTCAR*, *.poscar or *.vasp for VASP; info_evec_out* or *.evec for LSMS",
         path.string());
  }
  if (is_lsms && edges.size() != 3 && edges.size() != 9)
    fail(ErrorKind::config,
         "{}: LSMS writes atoms without their cell, and {} numbers of edges are given\n    fix: "
         "edges, angstrom: three for right angles, or nine, row after row",
         path.string(), edges.size());
  if (!is_lsms && !edges.empty())
    fail(ErrorKind::config,
         "{}: it holds its own cell\n    fix: no edges; they are for info_evec_out", path.string());
  data::require_input_file(path);
  const std::string text = read_file(path);
  if (is_extxyz) return read_extxyz(text, path.string());
  Frame frame;
  if (is_poscar) {
    frame.structure = read_poscar(text, path.string());
    return {frame};
  }
  Matrix3 cell{};
  for (size_t k = 0; k < 3; ++k)
    for (size_t d = 0; d < 3; ++d)
      cell[k][d] = edges.size() == 9 ? edges[3 * k + d] : k == d ? edges[k] : 0;
  const LsmsOutput output = read_info_evec(text, cell, path.string());
  frame.structure = output.structure;
  if (output.energies) frame.energy = (*output.energies)[0] * kRydberg;
  return {frame};
}

}  // namespace ocoee::atoms
