// SPDX-License-Identifier: Apache-2.0
// Bus bandwidth of collectives in bfloat16, by the definitions of nccl-tests: the size is the
// larger of the input and output of a rank; bus = size / time times comm::wire_factor. One JSON
// line a size, from rank 0.
//
//   mpirun -n 2 build-cuda/bench/multi_gpu/multi_gpu_collectives [smallest] [largest]   (bytes)
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "comm/mesh.h"
#include "comm/wire.h"
#include "core/error.h"

namespace ocoee {
namespace {

using comm::Communicator;
using device::Buffer;
using device::Stream;

struct Case {
  comm::Kind kind;
  std::function<void()> call;
};

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Mean time of a call, in a row of them without a wait in between; the slowest rank's.
double measure(const Case& one, Communicator& host, const Stream& stream, int64_t bytes) {
  const int calls = bytes <= (1 << 20) ? 200 : bytes <= (64 << 20) ? 50 : 20;
  for (int i = 0; i < 10; ++i) one.call();
  device::synchronize(stream);
  host.barrier();
  const double begin = seconds();
  for (int i = 0; i < calls; ++i) one.call();
  device::synchronize(stream);
  return host.all_reduce_value((seconds() - begin) / calls, comm::Reduce::max);
}

void run(int64_t smallest, int64_t largest) {
  comm::World world = comm::World::start();
  const int gpus = device::cuda_device_count();
  if (gpus < world.local_size())
    fail(ErrorKind::device, "{} ranks on this host need as many GPUs, and there are {}",
         world.local_size(), gpus);
  const device::Device gpu{device::Kind::cuda, world.local_rank()};
  comm::Shape shape;
  shape[comm::Axis::data] = world.size();
  comm::Mesh mesh(world, shape, gpu, comm::Backend::nccl);
  Communicator& data = mesh.axis(comm::Axis::data);
  const device::OwnedStream own(gpu, /*high_priority=*/false);
  const Stream stream = own.view();
  const int64_t n = world.size();
  const device::Memory input(static_cast<size_t>(largest), device::Memory::Where::device, gpu),
      output(static_cast<size_t>(largest), device::Memory::Where::device, gpu);
  for (int64_t bytes = smallest; bytes <= largest; bytes *= 2) {
    const int64_t count = bytes / 2;
    const Buffer in{input.data(), count, DType::bf16, gpu},
        out{output.data(), count, DType::bf16, gpu};
    const Buffer part{input.data(), count / n, DType::bf16, gpu},
        own_part{output.data(), count / n, DType::bf16, gpu};
    const std::vector<Case> cases{
        {comm::Kind::all_reduce, [&] { data.all_reduce(in, comm::Reduce::sum, stream); }},
        {comm::Kind::reduce_scatter,
         [&] { data.reduce_scatter(in, own_part, comm::Reduce::sum, stream); }},
        {comm::Kind::all_gather, [&] { data.all_gather(part, out, stream); }},
        {comm::Kind::all_to_all, [&] { data.all_to_all(in, out, stream); }},
    };
    for (const Case& one : cases) {
      const double time = measure(one, mesh.world(), stream, bytes);
      if (world.rank() == 0)
        std::printf(
            "{\"who\": \"ocoee\", \"kind\": \"%s\", \"bytes\": %ld, \"microseconds\": %.3f, "
            "\"bus\": %.4g}\n",
            comm::name_of(one.kind), static_cast<long>(bytes), time * 1e6,
            static_cast<double>(bytes) / time * comm::wire_factor(one.kind, world.size()));
    }
  }
}

}  // namespace
}  // namespace ocoee

int main(int argc, char** argv) {
  try {
    ocoee::run(argc > 1 ? std::atol(argv[1]) : 8192, argc > 2 ? std::atol(argv[2]) : 1L << 30);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
