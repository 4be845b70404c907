// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "core/file.h"

namespace ocoee::testing_support {

// A folder with the files that the recipes of this project and those of corpus/recipe_check name,
// where the process then is; it goes with the object.
class RecipeFolder {
 public:
  RecipeFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ocoee-fuzz-XXXXXX").string();
    if (!mkdtemp(name.data())) std::abort();
    path_ = name;
    std::filesystem::current_path(path_);
    std::string letters = ">letters\n";
    for (int i = 0; i < 2000; ++i) letters += "ACGGTCATTGCAAGTCCGATTAGCGTACTG\n";
    std::filesystem::create_directory("data");
    for (const char* file : {"letters.fa", "README.md", "data/ecoli_mg1655.fasta.gz"})
      write_file_atomically(file, letters);
  }
  ~RecipeFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  RecipeFolder(const RecipeFolder&) = delete;

 private:
  std::filesystem::path path_;
};

}  // namespace ocoee::testing_support
