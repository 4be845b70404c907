// SPDX-License-Identifier: Apache-2.0
// LibTorch takes half a second to load. A program without it can do everything up to the first
// tensor, and then becomes another one that has it.
#pragma once

namespace ocoee::cli {

// Called by a verb that needs LibTorch next, while nothing is begun that a fresh start of the same
// command line would repeat. Returns at once in a program that holds LibTorch, or none at all.
void enter_engine();

bool engine_is_elsewhere();  // this program can become one with LibTorch

void set_engine(void (*enter)());  // by main(), before run_program()

}  // namespace ocoee::cli
