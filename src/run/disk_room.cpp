// SPDX-License-Identifier: Apache-2.0
#include "run/disk_room.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/text.h"

namespace ocoee::run {
namespace {

namespace fs = std::filesystem;

double bytes_below(const fs::path& folder) {
  double bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator file(folder, error), end; !error && file != end;
       file.increment(error)) {
    std::error_code gone;  // a checkpoint may go while it is counted
    const uintmax_t size = file->is_regular_file(gone) ? file->file_size(gone) : 0;
    if (!gone) bytes += static_cast<double>(size);
  }
  return bytes;
}

}  // namespace

std::string DiskRoom::words() const {
  return fmt::format("checkpoints: {} each, at most {} at a time, {}; {} are free",
                     format_bytes(each), count, format_bytes(each * static_cast<double>(count)),
                     format_bytes(free));
}

DiskRoom disk_room(const RunConfig& run, double checkpoint_bytes, int64_t steps) {
  DiskRoom room;
  room.each = checkpoint_bytes;
  room.count = std::min(std::min(run.keep_checkpoints, steps) + 2, steps + 1);
  std::error_code error;  // a folder that cannot be looked at is told elsewhere
  fs::path there = fs::absolute(run.folder());
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  room.free = static_cast<double>(fs::space(there, error).available) +
              bytes_below(fs::path(run.folder()) / "checkpoints");
  return room;
}

}  // namespace ocoee::run
