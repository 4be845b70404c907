// SPDX-License-Identifier: Apache-2.0
#include <hdf5.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "science/atoms/arrangements.h"

namespace ocoee::atoms {
namespace {

// What HDF5 opened, closed again; its negative numbers are failures.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {
    if (id < 0) fail(ErrorKind::file, "HDF5 failed; is there memory left?");
  }
  ~Handle() { close_(id_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

void need(herr_t status) {
  if (status < 0) fail(ErrorKind::file, "HDF5 could not write; is there memory left?");
}

// `chunk` empty: contiguous; else compressed in such pieces.
void write(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& shape,
           const void* data, const std::vector<hsize_t>& chunk = {}) {
  const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                     H5Sclose);
  const Handle how(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  need(H5Pset_obj_track_times(how, false));  // the same arrangements are the same bytes
  if (!chunk.empty()) {
    need(H5Pset_chunk(how, static_cast<int>(chunk.size()), chunk.data()));
    need(H5Pset_deflate(how, 4));
  }
  const Handle set(H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT), H5Dclose);
  need(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data));
}

void note(hid_t file, const char* object, const char* name, const std::vector<std::string>& words) {
  const Handle set(H5Dopen2(file, object, H5P_DEFAULT), H5Dclose);
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  need(H5Tset_size(type, H5T_VARIABLE));
  need(H5Tset_cset(type, H5T_CSET_UTF8));
  const hsize_t count = words.size();
  const Handle space(count == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, nullptr),
                     H5Sclose);
  const Handle attribute(H5Acreate2(set, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  std::vector<const char*> texts;
  for (const std::string& word : words) texts.push_back(word.c_str());
  need(H5Awrite(attribute, type, texts.data()));
}

}  // namespace

bool hdf5_is_there() {
  return true;
}

void write_hdf5(const Arrangements& a, const std::filesystem::path& path) {
  const hsize_t levels = a.temperature.size(), snapshots = static_cast<hsize_t>(a.snapshots),
                sites = static_cast<hsize_t>(a.crystal.size());
  OCOEE_CHECK(a.species.size() == levels * snapshots * sites);
  OCOEE_CHECK(a.energy.size() == levels * snapshots);
  need(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr));  // failures are told by Error
  std::string bytes;
  {  // made in memory: what lies on the disk is whole or not there
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    need(H5Pset_fapl_core(access, 1 << 20, false));
    const Handle file(H5Fcreate("arrangements.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
    write(file, "species", H5T_NATIVE_UINT8, {levels, snapshots, sites}, a.species.data(),
          {1, std::clamp<hsize_t>((1 << 20) / sites, 1, snapshots), sites});
    note(file, "species", "names", a.crystal.species_names);
    write(file, "energy", H5T_NATIVE_DOUBLE, {levels, snapshots}, a.energy.data());
    note(file, "energy", "unit", {a.energy_unit});
    write(file, "temperature", H5T_NATIVE_DOUBLE, {levels}, a.temperature.data());
    note(file, "temperature", "unit", {a.temperature_unit});
    std::vector<Vector3> positions;
    for (int64_t site = 0; site < a.crystal.size(); ++site)
      positions.push_back(cartesian(a.crystal, site));
    write(file, "positions", H5T_NATIVE_DOUBLE, {sites, 3}, positions.data());
    note(file, "positions", "unit", {"angstrom"});
    write(file, "cell", H5T_NATIVE_DOUBLE, {3, 3}, a.crystal.cell.data());
    note(file, "cell", "unit", {"angstrom"});
    need(H5Fflush(file, H5F_SCOPE_GLOBAL));
    const auto size = H5Fget_file_image(file, nullptr, 0);
    if (size < 0) fail(ErrorKind::file, "{}: HDF5 gave no file", path.string());
    bytes.resize(static_cast<size_t>(size));
    if (H5Fget_file_image(file, bytes.data(), bytes.size()) != size)
      fail(ErrorKind::file, "{}: HDF5 gave no file", path.string());
  }
  write_file_atomically(path, bytes);
}

}  // namespace ocoee::atoms
