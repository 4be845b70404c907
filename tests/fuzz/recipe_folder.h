// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/file.h"

namespace ocoee::testing_support {

// Makes a folder with the files that corpus/recipe_check names, and goes there. Called once.
inline void enter_recipe_folder() {
  std::string folder = (std::filesystem::temp_directory_path() / "ocoee-fuzz-XXXXXX").string();
  if (!mkdtemp(folder.data())) std::abort();
  std::filesystem::current_path(folder);
  std::string letters = ">letters\n";
  for (int i = 0; i < 2000; ++i) letters += "ACGGTCATTGCAAGTCCGATTAGCGTACTG\n";
  write_file_atomically("letters.fa", letters);
}

}  // namespace ocoee::testing_support
