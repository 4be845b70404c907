// SPDX-License-Identifier: Apache-2.0
// What HDF5 itself reads from a file of arrangements; and what a program without HDF5 says.
#include "science/atoms/arrangements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/file.h"

#if __has_include(<hdf5.h>)
#include <hdf5.h>
#endif

namespace ocoee::atoms {
namespace {

Arrangements two_temperatures() {
  Arrangements a;
  a.crystal.cell = {{{4, 0, 0}, {0, 2, 0}, {0, 0, 2}}};
  a.crystal.positions = {{0, 0, 0}, {0.5, 0, 0}, {0.25, 0.5, 0.5}};
  a.crystal.species_names = {"Cu", "Au"};
  a.temperature = {300, 700};
  a.temperature_unit = "K", a.energy_unit = "eV";
  a.snapshots = 2;
  a.species = {0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0};
  a.energy = {-1, -2, -3, -4};
  return a;
}

#if __has_include(<hdf5.h>)
template <class T>
std::vector<T> values(hid_t file, const char* name, hid_t type, std::vector<hsize_t> shape) {
  const hid_t set = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(set);
  std::vector<hsize_t> found(static_cast<size_t>(H5Sget_simple_extent_ndims(space)));
  H5Sget_simple_extent_dims(space, found.data(), nullptr);
  EXPECT_EQ(found, shape) << name;
  hsize_t size = 1;
  for (const hsize_t n : found) size *= n;
  std::vector<T> out(size);
  EXPECT_GE(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()), 0);
  H5Sclose(space), H5Dclose(set);
  return out;
}
std::vector<std::string> words(hid_t file, const char* object, const char* name, size_t count) {
  const hid_t attribute = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT),
              type = H5Aget_type(attribute);
  std::vector<char*> texts(count);
  EXPECT_GE(H5Aread(attribute, type, texts.data()), 0);
  std::vector<std::string> out(texts.begin(), texts.end());
  for (char* text : texts) H5free_memory(text);
  H5Tclose(type), H5Aclose(attribute);
  return out;
}

TEST(Arrangements, HdfReadsWhatWasWritten) {
  const std::filesystem::path path = testing::TempDir() + "/ocoee_snapshots.h5";
  const Arrangements a = two_temperatures();
  write_hdf5(a, path);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  EXPECT_EQ(values<uint8_t>(file, "species", H5T_NATIVE_UINT8, {2, 2, 3}), a.species);
  EXPECT_EQ(values<double>(file, "energy", H5T_NATIVE_DOUBLE, {2, 2}), a.energy);
  EXPECT_EQ(values<double>(file, "temperature", H5T_NATIVE_DOUBLE, {2}), a.temperature);
  EXPECT_EQ(values<double>(file, "positions", H5T_NATIVE_DOUBLE, {3, 3}),
            (std::vector<double>{0, 0, 0, 2, 0, 0, 1, 1, 1}));
  EXPECT_EQ(values<double>(file, "cell", H5T_NATIVE_DOUBLE, {3, 3}),
            (std::vector<double>{4, 0, 0, 0, 2, 0, 0, 0, 2}));
  EXPECT_EQ(words(file, "species", "names", 2), a.crystal.species_names);
  EXPECT_EQ(words(file, "energy", "unit", 1)[0], "eV");
  EXPECT_EQ(words(file, "temperature", "unit", 1)[0], "K");
  H5Fclose(file);
  std::filesystem::remove(path);
}

// HDF5 would note when a dataset was made: a run that was killed would end with other bytes.
TEST(Arrangements, TheSameArrangementsAreTheSameBytes) {
  const std::filesystem::path path = testing::TempDir() + "/ocoee_same.h5";
  write_hdf5(two_temperatures(), path);
  const std::string first = read_file(path);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // its clock counts seconds
  write_hdf5(two_temperatures(), path);
  EXPECT_TRUE(read_file(path) == first);
  std::filesystem::remove(path);
}

TEST(Arrangements, AFolderThatIsNotThereIsTold) {
  try {
    write_hdf5(two_temperatures(), "/no/such/folder/snapshots.h5");
    FAIL() << "was written";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::file);
    EXPECT_THAT(error.what(), testing::HasSubstr("/no/such/folder"));
  }
}
#else
TEST(Arrangements, AProgramWithoutHdfSaysSo) {
  EXPECT_FALSE(hdf5_is_there());
  try {
    write_hdf5(two_temperatures(), "snapshots.h5");
    FAIL() << "was written";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_THAT(error.what(), testing::HasSubstr("libhdf5-dev"));
  }
}
#endif

}  // namespace
}  // namespace ocoee::atoms
