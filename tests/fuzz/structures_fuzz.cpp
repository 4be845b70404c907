// SPDX-License-Identifier: Apache-2.0
// Structures from hostile bytes, in each of the three formats: refused with an Error(data), or
// sound; and what is written of them reads back as the same atoms.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "science/atoms/formats.h"

namespace {

using namespace ocoee;

template <class Read>
void try_format(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) std::abort();
  }
}

void require(bool condition) {
  if (!condition) std::abort();
}

// Numbers at the edge of a double may not survive a change of units: those cells are left alone.
bool is_ordinary(const atoms::Structure& s) {
  for (const auto& v : s.cell) {
    for (const double x : v) {
      if (x != 0 && !(std::abs(x) > 1e-6 && std::abs(x) < 1e6)) return false;
    }
  }
  for (const auto& v : s.positions) {
    for (const double x : v) {
      if (!(std::abs(x) < 1e6)) return false;
    }
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocoee::atoms;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try_format([&] {
    const Structure s = read_poscar(text, "fuzz");
    require_sound(s, "fuzz");
    if (!is_ordinary(s)) return;
    const Structure grouped = read_poscar(write_poscar(s), "again");
    require(species_counts(grouped).size() <= species_counts(s).size());
    require(read_poscar(write_poscar(grouped), "again") == grouped);
  });
  try_format([&] {
    for (const Frame& frame : read_extxyz(text, "fuzz")) {
      require_sound(frame.structure, "fuzz");
      if (!is_ordinary(frame.structure)) continue;
      const std::vector<Frame> again = read_extxyz(write_extxyz(frame), "again");
      require(again.size() == 1 && again[0].energy == frame.energy);
      require(again[0].structure.species == frame.structure.species);
      require(again[0].structure.species_names == frame.structure.species_names);
    }
  });
  try_format([&] {
    const Matrix3 cell = {{{3, 0, 0}, {1, 3, 0}, {0, 0.5, 4}}};
    const LsmsOutput out = read_info_evec(text, cell, "fuzz");
    require_sound(out.structure, "fuzz");
    require(out.atoms.size() == out.structure.positions.size());
    if (!is_ordinary(out.structure)) return;
    for (const LsmsAtom& atom : out.atoms) {
      for (const double x : atom.rest) {
        if (!(std::abs(x) < 1e6)) return;
      }
      if (!(std::abs(atom.charge) < 1e6 && std::abs(atom.moment) < 1e6)) return;
      for (const double x : atom.direction) {
        if (!(std::abs(x) < 1e6)) return;
      }
    }
    require(read_info_evec(write_info_evec(out), cell, "again").structure.species ==
            out.structure.species);
  });
  return 0;
}
