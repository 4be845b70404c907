// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "core/file.h"
#include "core/text.h"

namespace ocoee {
namespace {

TEST(Error, EveryKindHasACodeANameAndAMeaningOfItsOwn) {
  std::set<int> codes;
  std::set<std::string> names, meanings;
  for (const ErrorKind kind : error_kinds()) {
    codes.insert(exit_code(kind));
    names.insert(name_of(kind));
    meanings.insert(meaning_of(kind));
  }
  EXPECT_EQ(codes, (std::set<int>{1, 2, 3, 4, 5, 6, 7, 8, 75}));
  EXPECT_EQ(names.size(), codes.size());
  EXPECT_EQ(meanings.size(), codes.size());
  EXPECT_FALSE(meanings.contains(""));
}

TEST(Error, ATextIsWhatIsWrongAndItsFix) {
  const auto [what, fix] = split_fix("a.fa:3: a digit\n    fix: remove it");
  EXPECT_EQ(what, "a.fa:3: a digit");
  EXPECT_EQ(fix, "remove it");
  const ErrorText none = split_fix("no memory\nat all");
  EXPECT_EQ(none.what, "no memory\nat all");
  EXPECT_EQ(none.fix, "");
  const ErrorText last = split_fix("a\n    fix: b\nc\n    fix: d");
  EXPECT_EQ(last.what, "a\n    fix: b\nc");
  EXPECT_EQ(last.fix, "d");
}

TEST(File, TheFixFollowsTheReason) {
  EXPECT_EQ(fix_of(ENOSPC), "\n    fix: free space there");
  EXPECT_EQ(fix_of(EFBIG, "write elsewhere"),
            "\n    fix: raise the limit on the size of a file (ulimit -f), or write elsewhere");
  EXPECT_EQ(fix_of(EACCES, "x"), "\n    fix: check the permissions there, or x");
  EXPECT_THAT(fix_of(ENOTDIR), testing::HasSubstr("move the file away"));
  EXPECT_EQ(fix_of(EIO), "");
  EXPECT_EQ(fix_of(EIO, "write elsewhere"), "\n    fix: write elsewhere");
}

TEST(File, TheParentOfABareNameIsThisFolder) {
  EXPECT_NO_THROW(sync_path(std::filesystem::path("name").parent_path()));
}

}  // namespace
}  // namespace ocoee
