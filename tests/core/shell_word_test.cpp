// SPDX-License-Identifier: Apache-2.0
#include "core/shell_word.h"

#include <gtest/gtest.h>

namespace ocoee {
namespace {

TEST(ShellWord, QuotesWhatAShellWouldTakeApart) {
  EXPECT_EQ(shell_word("run.name=a"), "run.name=a");
  EXPECT_EQ(shell_word("caf\xC3\xA9.toml"), "caf\xC3\xA9.toml");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(ShellWord, BytesThatAreNoTextAreWrittenInAscii) {
  EXPECT_EQ(shell_word("d\xE9/it's.toml"), "$'d\\xE9/it\\'s.toml'");
  EXPECT_EQ(shell_word("\xC3\xA9\xFF\\"), "$'\\xC3\\xA9\\xFF\\\\'");
}

TEST(ShellWord, Utf8IsKnown) {
  for (const char* text : {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
    EXPECT_TRUE(is_utf8(text)) << text;
  for (const char* bytes : {"\xFF", "\xE9", "\xE9/x", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                            "\xF4\x90\x80\x80", "\xE2\x82", "\x80"})
    EXPECT_FALSE(is_utf8(bytes)) << shell_word(bytes);
}

}  // namespace
}  // namespace ocoee
