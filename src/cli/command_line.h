// SPDX-License-Identifier: Apache-2.0
// What is wrong with a command line, in the words of Ocoee's other messages.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace ocoee::cli {

// What CLI11 found, after program.parse threw it: what, where, the nearest name, the fix.
std::string command_line_problem(const CLI::App& program, const CLI::ParseError& error, int argc,
                                 char** argv);

}  // namespace ocoee::cli
