// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <system_error>
#include <vector>

#include "cli/calibrate.h"
#include "core/error.h"

namespace ocoee::cli {
namespace {

constexpr hsize_t kPieces = 64, kNumbers = 1 << 18;  // 64 pieces of 1 MiB of float32

hid_t need(hid_t status) {
  if (status < 0) fail(ErrorKind::file, "the file system cannot be measured: HDF5 failed");
  return status;
}

// What HDF5 opened, closed again.
struct Handle {
  hid_t id;
  herr_t (*close)(hid_t);
  Handle(hid_t opened, herr_t (*how)(hid_t)) : id(need(opened)), close(how) {}
  ~Handle() { close(id); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

void write_pieces(const std::string& path) {
  const hsize_t shape[] = {kPieces, kNumbers}, chunk[] = {1, kNumbers};
  const Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  const Handle space(H5Screate_simple(2, shape, nullptr), H5Sclose);
  const Handle how(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  need(H5Pset_chunk(how.id, 2, chunk));
  const Handle set(
      H5Dcreate2(file.id, "x", H5T_NATIVE_FLOAT, space.id, H5P_DEFAULT, how.id, H5P_DEFAULT),
      H5Dclose);
  const std::vector<float> numbers(kPieces * kNumbers, 1.5F);
  need(H5Dwrite(set.id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()));
}

double read_pieces(const std::string& path) {
  const auto begin = std::chrono::steady_clock::now();
  const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  const Handle set(H5Dopen2(file.id, "x", H5P_DEFAULT), H5Dclose);
  const Handle space(H5Dget_space(set.id), H5Sclose);
  const hsize_t one[] = {1, kNumbers};
  const Handle room(H5Screate_simple(2, one, nullptr), H5Sclose);
  std::vector<float> numbers(kNumbers);
  for (hsize_t piece = 0; piece < kPieces; ++piece) {
    const hsize_t from[] = {piece, 0};
    need(H5Sselect_hyperslab(space.id, H5S_SELECT_SET, from, nullptr, one, nullptr));
    need(H5Dread(set.id, H5T_NATIVE_FLOAT, room.id, space.id, H5P_DEFAULT, numbers.data()));
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

double measure_hdf5_read(comm::Mesh& mesh, const std::string& folder, int hosts) {
  const std::filesystem::path path =
      std::filesystem::path(folder) / fmt::format(".ocoee-calibrate-{}.h5", mesh.world().rank());
  struct Remover {
    const std::filesystem::path& path;
    ~Remover() {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  } const remover{path};
  need(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr));  // failures are told by Error
  write_pieces(path.string());
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file >= 0) {  // the read shall come from the disk
    ::fsync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
  mesh.world().barrier();
  const double rate =
      static_cast<double>(kPieces * kNumbers * sizeof(float)) / read_pieces(path.string());
  return mesh.world().all_reduce_value(rate, comm::Reduce::sum) / hosts;
}

}  // namespace ocoee::cli
