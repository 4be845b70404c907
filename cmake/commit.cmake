# SPDX-License-Identifier: Apache-2.0
# cmake -DSOURCE=FOLDER -DHEADER=FILE -P commit.cmake: which commit is being built, at each build; the header is written only
# where it changes. "-dirty" says that the tree holds changes; "" outside of git.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
set(text "// SPDX-License-Identifier: Apache-2.0
#pragma once
namespace ocoee {
inline constexpr const char* kBuildCommit = \"${commit}\";  // \"\" outside of git
}
")
set(before "")
if(EXISTS ${HEADER})
  file(READ ${HEADER} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${HEADER} "${text}")
endif()
