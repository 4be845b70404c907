// SPDX-License-Identifier: Apache-2.0
// The one precompiled header of every room that sees torch.
#pragma once
#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>
