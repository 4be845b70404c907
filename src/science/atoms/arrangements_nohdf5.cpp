// SPDX-License-Identifier: Apache-2.0
// A program that was built where HDF5 was not.
#include "core/error.h"
#include "science/atoms/arrangements.h"

namespace ocoee::atoms {

bool hdf5_is_there() {
  return false;
}

void write_hdf5(const Arrangements&, const std::filesystem::path& path) {
  fail(ErrorKind::config,
       "{}: this program was built without HDF5\n    fix: apt-get install libhdf5-dev, and build "
       "again; or write extended XYZ",
       path.string());
}

}  // namespace ocoee::atoms
