// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/formats.h"

#include "core/error.h"
#include "core/file.h"
#include "data/bytes.h"

namespace ocoee::atoms {

std::vector<Frame> read_structures(const std::filesystem::path& path) {
  const std::string file = path.filename().string(), ending = path.extension().string();
  const bool is_extxyz = ending == ".extxyz" || ending == ".xyz";
  const bool is_poscar = ending == ".poscar" || ending == ".vasp" || file.starts_with("POSCAR") ||
                         file.starts_with("CONTCAR");
  if (!is_extxyz && !is_poscar) {
    fail(ErrorKind::data,
         "{}: the name does not tell the format\n    fix: *.extxyz or *.xyz for extended XYZ; "
         "POSCAR*, CONTCAR*, *.poscar or *.vasp for VASP",
         path.string());
  }
  data::require_input_file(path);
  const std::string text = read_file(path);
  if (is_extxyz) return read_extxyz(text, path.string());
  Frame frame;
  frame.structure = read_poscar(text, path.string());
  return {frame};
}

}  // namespace ocoee::atoms
