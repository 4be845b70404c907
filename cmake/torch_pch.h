// SPDX-License-Identifier: Apache-2.0
// The one precompiled header of every room that sees torch: tensors, and autograd for what stays
// inside a layer. torch/torch.h, with modules, optimizers and data loaders that nobody uses here,
// would make every file three times as slow to compile.
#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>
