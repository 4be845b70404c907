// SPDX-License-Identifier: Apache-2.0
// bench_alloys_gpu PART ...: swaps, tune, ising, capacity, exact; README.md beside this file.
#include <cstdio>
#include <string>

#include "alloys_gpu/alloys_gpu.h"
#include "core/error.h"
#include "kernels/parallel_for.h"

namespace ocoee::bench {

double device_milliseconds(const device::Stream& stream, const std::function<void()>& work) {
  device::Event begin(stream.device, true), end(stream.device, true);
  begin.record(stream);
  work();
  end.record(stream);
  end.synchronize();
  return end.milliseconds_since(begin);
}

namespace {

void part(const std::string& name, const device::Stream& gpu) {
  const device::Stream cpu;
  if (name == "small") {  // under a memory checker
    for (const int shells : {2, 6}) swap_speed(gpu, 30, shells, 128, 4, 1000, 1);
    ising_speed(gpu, 512, 1.5, 2);
  } else if (name == "swaps") {
    for (const int shells : {2, 6}) swap_speed(gpu, 1024, shells, 128, 16, 1000, 10);
    const int all = kernels::thread_count();
    for (const int shells : {2, 6}) {
      swap_speed(cpu, 64, shells, 128, 16, 1000, 10);
      kernels::set_thread_count(1);
      swap_speed(cpu, 32, shells, 128, 16, 1000, 10);
      kernels::set_thread_count(all);
    }
  } else if (name == "tune") {
    for (const int shells : {2, 6})
      for (const int threads : {64, 128}) swap_speed(gpu, 768, shells, threads, 16, 1000, 5);
    for (const int shells : {2, 6})
      for (const int trials : {4, 8, 32, 64}) swap_speed(gpu, 768, shells, 128, trials, 1000, 5);
    for (const double temperature : {300.0, 3000.0})
      swap_speed(gpu, 768, 2, 128, 16, temperature, 5);
  } else if (name == "ising") {
    for (const double temperature : {1.5, 2.269185, 4.0}) ising_speed(gpu, 65536, temperature, 100);
  } else if (name == "capacity") {
    capacity(gpu, 4000, 10);
  } else if (name == "exact") {
    exact_samples(gpu, 1e9);
  } else {
    fail(ErrorKind::config, "no part '{}'; small, swaps, tune, ising, capacity, exact", name);
  }
}

}  // namespace
}  // namespace ocoee::bench

int main(int argc, char** argv) {
  using namespace ocoee;
  if (device::cuda_device_count() == 0) {
    std::printf("%s\n", device::cuda_unavailable_reason().c_str());
    return 6;
  }
  const device::Stream gpu{nullptr, {device::Kind::cuda, 0}};
  const device::Properties properties = device::properties(gpu.device);
  std::printf("%s, %d multiprocessors\n", properties.name.c_str(), properties.multiprocessors);
  try {
    for (int k = 1; k < argc; ++k) bench::part(argv[k], gpu);
  } catch (const Error& error) {
    std::printf("%s\n", error.what());
    return static_cast<int>(error.kind());
  }
}
