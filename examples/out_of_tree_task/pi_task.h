// SPDX-License-Identifier: Apache-2.0
// Estimates pi by throwing darts at a square: the smallest task that has a recipe section, shares
// its work over ranks, and survives being stopped.
#pragma once

#include "run/task.h"

ocoee::run::TaskType pi_task();
