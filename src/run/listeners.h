// SPDX-License-Identifier: Apache-2.0
// Who listens to events on rank 0: the console, metrics.jsonl, TensorBoard.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "run/events.h"

namespace ocoee::run {

// Plain lines in a batch log; on a terminal a progress bar besides. `total` steps from `first`.
std::unique_ptr<Listener> make_console(int64_t first, int64_t total, double wall_time);

// Appends one object an event; entries after step `resume_step` of an earlier attempt are cut off first.
std::unique_ptr<Listener> make_metrics_file(const std::filesystem::path& path, int64_t resume_step);

// TensorBoard event files (TFRecord framing with masked CRC-32C), written without protobuf.
std::unique_ptr<Listener> make_tensorboard(const std::filesystem::path& folder);

uint32_t crc32c(const void* data, size_t bytes, uint32_t seed = 0);

}  // namespace ocoee::run
