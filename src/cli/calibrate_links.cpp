// SPDX-License-Identifier: Apache-2.0
// Links between ranks, and the file system.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>

#include "cli/calibrate.h"
#include "core/error.h"

namespace ocoee::cli {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A file descriptor that closes itself.
struct File {
  int handle;
  explicit File(int opened) : handle(opened) {}
  ~File() {
    if (handle >= 0) ::close(handle);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

}  // namespace

LinkFigures measure_links(comm::Mesh& mesh, comm::Communicator& group, bool quick) {
  LinkFigures figures;
  figures.ranks = group.size();
  if (group.size() == 1) return figures;
  const device::Device device = mesh.device();
  const device::OwnedStream own(device);
  const device::Stream stream = own.view();
  const int64_t largest = int64_t{1} << (quick ? 20 : device.is_cuda() ? 28 : 25);
  const auto ranks = static_cast<int64_t>(group.size());
  const int64_t room = largest + 4 * ranks;  // pieces of a gather are whole numbers
  const device::Memory memory(static_cast<size_t>(room), device::Memory::Where::device, device);
  device::set_zero({memory.data(), room / 4, DType::f32, device}, stream);
  const auto buffer = [&](int64_t bytes, int64_t from = 0) {
    return device::Buffer{static_cast<char*>(memory.data()) + from, bytes / 4, DType::f32, device};
  };
  // The least disturbed of a few turns: what else a machine does only makes it slower.
  const auto seconds = [&](int64_t bytes, const std::function<void()>& call) {
    for (int i = 0; i < 3; ++i) call();
    const int calls =
        quick ? 3 : static_cast<int>(std::clamp<int64_t>((int64_t{1} << 26) / bytes, 5, 200));
    double best = 1e30;
    for (int turn = 0; turn < 5; ++turn) {
      device::synchronize(stream);
      mesh.world().barrier();
      const double begin = now();
      for (int i = 0; i < calls; ++i) call();
      device::synchronize(stream);
      const double spent = (now() - begin) / calls;
      best = std::min(best, mesh.world().all_reduce_value(spent, comm::Reduce::max));
    }
    return best;
  };
  const int neighbour = group.rank() ^ 1;
  for (int64_t bytes = 16; bytes <= largest; bytes *= 8) {
    const auto size = static_cast<double>(bytes);
    figures.all_reduces.push_back({size, seconds(bytes, [&] {
                                     group.all_reduce(buffer(bytes), comm::Reduce::sum, stream);
                                   })});
    const int64_t piece = std::max<int64_t>(4, bytes / ranks / 4 * 4);
    const device::Buffer whole = buffer(piece * ranks), part = buffer(piece, piece * group.rank());
    const double gather = seconds(bytes, [&] { group.all_gather(part, whole, stream); });
    const double scatter =
        seconds(bytes, [&] { group.reduce_scatter(whole, part, comm::Reduce::sum, stream); });
    figures.gathers.push_back({static_cast<double>(piece * ranks), std::max(gather, scatter)});
    const double there_and_back = seconds(bytes, [&] {
      if (neighbour >= group.size()) return;
      if (group.rank() < neighbour) {
        group.send(buffer(bytes), neighbour, stream);
        group.receive(buffer(bytes), neighbour, stream);
      } else {
        group.receive(buffer(bytes), neighbour, stream);
        group.send(buffer(bytes), neighbour, stream);
      }
    });
    figures.messages.push_back({size, there_and_back / 2});
  }
  return figures;
}

StorageFigures measure_storage(comm::Mesh& mesh, const std::string& folder, int hosts) {
  constexpr size_t kBytes = size_t{64} << 20;
  const std::filesystem::path path =
      std::filesystem::path(folder) / fmt::format(".ocoee-calibrate-{}", mesh.world().rank());
  const std::vector<char> block(size_t{1} << 20, 'x');
  const auto check = [&](bool works, const char* what) {
    if (!works)
      fail(ErrorKind::file, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
  };
  StorageFigures figures;
  mesh.world().barrier();
  double begin = now();
  {
    const File file(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
    check(file.handle >= 0, "write");
    for (size_t done = 0; done < kBytes; done += block.size())
      check(::write(file.handle, block.data(), block.size()) == static_cast<ssize_t>(block.size()),
            "write");
    check(::fsync(file.handle) == 0, "write");
    figures.write = kBytes / (now() - begin);
    ::posix_fadvise(file.handle, 0, 0, POSIX_FADV_DONTNEED);  // the read shall come from the disk
  }
  mesh.world().barrier();
  begin = now();
  {
    std::vector<char> into(block.size());
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    check(file.handle >= 0, "read");
    while (::read(file.handle, into.data(), into.size()) > 0) {
    }
    figures.read = kBytes / (now() - begin);
  }
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  figures.read = mesh.world().all_reduce_value(figures.read, comm::Reduce::sum) / hosts;
  figures.write = mesh.world().all_reduce_value(figures.write, comm::Reduce::sum) / hosts;
  return figures;
}

}  // namespace ocoee::cli
