// SPDX-License-Identifier: Apache-2.0
// mpirun -n RANKS bench_shard_memory [layers [width [float32|bfloat16 [cpu|cuda]]]]
// Trains two steps at each shard level; prints the most bytes of tensors on any rank, what the
// planner says, and the process's resident size. Ends with 1 where a level lies more than 5 % from
// its plan.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "comm/world.h"
#include "core/error.h"
#include "parallel/memory_case.h"

namespace {

using namespace ocoee;

constexpr double kMiB = 1 << 20, kTolerance = 0.05;

bool measure(int argc, char** argv) {
  comm::World world = comm::World::start();
  parallel::MemoryCase c;
  c.model.layers = argc > 1 ? std::atoll(argv[1]) : 24;
  c.model.width = argc > 2 ? std::atoll(argv[2]) : 1024;
  c.compute = argc > 3 ? argv[3] : "float32";
  const bool on_gpu = argc > 4 && std::string(argv[4]) == "cuda";
  c.model.heads = c.model.width / 64, c.model.context = 32, c.model.tied = "no";
  device::Device device;
  if (on_gpu)
    device = {device::Kind::cuda, world.rank() % std::max(1, device::cuda_device_count())};
  comm::Shape shape;
  shape[comm::Axis::data] = world.size();
  bool holds = true;
  for (const char* shard : {"none", "states", "gradients", "parameters"}) {
    c.shard = shard;
    comm::Mesh mesh(world, shape, device);
    const parallel::MeasuredMemory m = parallel::measure_memory(c, mesh);
    const double peak =
        mesh.world().all_reduce_value(static_cast<double>(m.peak), comm::Reduce::max);
    const double resident =
        mesh.world().all_reduce_value(static_cast<double>(m.resident), comm::Reduce::max);
    const double ratio = peak / m.planned.total_bytes;
    holds &= std::abs(ratio - 1) <= kTolerance;
    if (world.rank() != 0) continue;
    if (std::string(shard) == "none")
      fmt::print(
          "{} parameters, {} on {}, {} data ranks; MiB a rank\n{:<12}{:>12}{:>12}{:>9}{:>22}\n",
          m.parameters, c.compute, on_gpu ? "cuda" : "cpu", world.size(), "shard", "tensors",
          "planned", "ratio", "resident, so far most");
    fmt::print("{:<12}{:>12.1f}{:>12.1f}{:>9.3f}{:>22.1f}\n", shard, peak / kMiB,
               m.planned.total_bytes / kMiB, ratio, resident / kMiB);
    std::fflush(stdout);
  }
  return holds;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return measure(argc, argv) ? 0 : 1;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return exit_code(error.kind());
  }
}
