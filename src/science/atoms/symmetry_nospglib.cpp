// SPDX-License-Identifier: Apache-2.0
// A program that was built where spglib was not.
#include "core/error.h"
#include "science/atoms/symmetry.h"

namespace ocoee::atoms {
namespace {

[[noreturn]] void refuse(const std::string& where) {
  fail(ErrorKind::config,
       "{}: this program was built without spglib, so it knows no space groups\n    fix: "
       "apt-get install libsymspg-dev, and build again",
       where);
}

}  // namespace

SpaceGroup space_group(const Structure&, double, const std::string& where) {
  refuse(where);
}

Structure primitive_cell(const Structure&, double, const std::string& where) {
  refuse(where);
}

}  // namespace ocoee::atoms
