// SPDX-License-Identifier: Apache-2.0
// bench_kernels [--rows N] [--width N] [--vocabulary N] [--parameters N] [--dtype F32|BF16|F16]
// [--threads N] [--behind nothing|products] One line a kernel: time, bytes that must move, share of
// the memory's speed (a copy measured here), and the library's time for the same. Ours and the
// library's runs are interleaved; medians. Without arguments: on a CPU the demo's model (width 128,
// batch 16 x 256 tokens), on a GPU GPT-2 124M (64 x 1,024 tokens).
//
// Behind products a GPU is at its limit of power, with a lower clock, and its cache holds other
// things: so a kernel runs in a training step.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "core/error.h"
#include "kernels/cases.h"
#include "kernels/cast.h"
#include "kernels/parallel_for.h"

namespace ocoee::bench {
namespace {

// Wall time; for one CPU thread the processor's time, which other programs on the machine disturb
// less.
double now(const device::Stream& stream) {
  timespec t{};
  clock_gettime(!stream.device.is_cuda() && kernels::thread_count() == 1 ? CLOCK_PROCESS_CPUTIME_ID
                                                                         : CLOCK_MONOTONIC,
                &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double seconds_of(const Work& work, int repeats, const device::Stream& stream) {
  device::synchronize(stream);
  const double begin = now(stream);
  for (int i = 0; i < repeats; ++i) work();
  device::synchronize(stream);
  return (now(stream) - begin) / repeats;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// Bytes a second of a copy that no cache holds.
double memory_speed(const device::Stream& stream) {
  const int64_t count = stream.device.is_cuda() ? int64_t{1} << 28 : int64_t{1} << 25;
  device::Memory from(static_cast<size_t>(count) * 4, device::Memory::Where::device, stream.device),
      to(static_cast<size_t>(count) * 4, device::Memory::Where::device, stream.device);
  const device::Buffer x{from.data(), count, DType::f32, stream.device},
      y{to.data(), count, DType::f32, stream.device};
  device::set_zero(x, stream);
  const Work copy = [&] { kernels::cast(x, y, stream); };
  seconds_of(copy, 2, stream);
  std::vector<double> times;
  for (int i = 0; i < 7; ++i) times.push_back(seconds_of(copy, 4, stream));
  return 8.0 * static_cast<double>(count) / median(times);
}

constexpr int kWarmUp = 40;  // times three products, until the clock has come down

double seconds_behind(const Work& products, const Work& work, const device::Stream& stream) {
  device::Event begin(stream.device, true), end(stream.device, true);
  products();
  begin.record(stream);
  work();
  end.record(stream);
  device::synchronize(stream);
  return 1e-3 * end.milliseconds_since(begin);
}

void measure(const Case& c, double speed, const Work& products, const device::Stream& stream) {
  const double once = std::max(1e-7, seconds_of(c.ours, 3, stream));
  const int repeats = std::clamp(static_cast<int>(0.02 / once), 1, 2000);
  if (c.peer) seconds_of(c.peer, 3, stream);
  const auto seconds = [&](const Work& work) {
    return products ? seconds_behind(products, work, stream) : seconds_of(work, repeats, stream);
  };
  std::vector<double> ours, peers;
  if (products) seconds_of(products, kWarmUp, stream);
  for (int round = 0; round < (products ? 25 : 9); ++round) {
    ours.push_back(seconds(c.ours));
    if (c.peer) peers.push_back(seconds(c.peer));
  }
  const double time = median(ours);
  std::printf("%-34s %9.1f %9.1f %8.1f %6.0f %%", c.name.c_str(), c.bytes / 1e6, time * 1e6,
              c.bytes / time / 1e9, 100 * c.bytes / time / speed);
  if (c.peer) {
    std::printf(" %10.1f %7.2fx", median(peers) * 1e6, median(peers) / time);
  } else {
    std::printf(" %10s %8s", "-", "");
  }
  std::printf("\n");
  std::fflush(stdout);
}

Work products_of(device::Device place) {
  if (!place.is_cuda())
    fail(ErrorKind::config, "--behind products: only a GPU's clock falls under its limit of power");
  Work products = library_products(place);
  if (!products) fail(ErrorKind::config, "--behind products: this program has no LibTorch");
  return products;
}

int run(int argc, char** argv) {
  device::Device place;
  if (device::built_with_cuda()) {
    if (device::cuda_device_count() == 0) {
      std::printf("skipped: %s\n", device::cuda_unavailable_reason().c_str());
      return 77;
    }
    place = {device::Kind::cuda, 0};
  }
  Shapes shapes{DType::f32, 4096, 128, 67, 834'000};
  Work products;
  if (place.is_cuda()) shapes = {DType::bf16, 65536, 768, 50304, 124'000'000};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    const char* value = argv[i + 1];
    if (key == "--rows")
      shapes.rows = std::atoll(value);
    else if (key == "--width")
      shapes.width = std::atoll(value);
    else if (key == "--vocabulary")
      shapes.vocabulary = std::atoll(value);
    else if (key == "--parameters")
      shapes.parameters = std::atoll(value);
    else if (key == "--dtype")
      shapes.dtype = dtype_from_name(value);
    else if (key == "--threads")
      kernels::set_thread_count(std::atoi(value)), set_library_threads(std::atoi(value));
    else if (key == "--behind" && value == std::string("products"))
      products = products_of(place);
    else if (key != "--behind" || value != std::string("nothing"))
      fail(ErrorKind::config,
           "unknown option '{} {}': expected --rows, --width, --vocabulary, --parameters, --dtype, "
           "--threads, or --behind nothing or products",
           key, value);
  }
  const device::Stream stream{nullptr, place};  // the default stream, as the library's
  const double speed = memory_speed(stream);
  std::printf(
      "%s, %d threads, copies at %.0f GB/s%s; %s, %lld rows of %lld, vocabulary %lld, %lld "
      "parameters\n",
      device::properties(place).name.c_str(), kernels::thread_count(), speed / 1e9,
      products ? " (kernels behind products)" : "", std::string(name_of(shapes.dtype)).c_str(),
      static_cast<long long>(shapes.rows), static_cast<long long>(shapes.width),
      static_cast<long long>(shapes.vocabulary), static_cast<long long>(shapes.parameters));
  std::printf("%-34s %9s %9s %8s %8s %10s %8s\n", "kernel", "MB", "us", "GB/s", "of copy",
              "library us", "faster");
  for_each_case(shapes, stream, [&](const Case& c) { measure(c, speed, products, stream); });
  return 0;
}

}  // namespace
}  // namespace ocoee::bench

int main(int argc, char** argv) {
  try {
    return ocoee::bench::run(argc, argv);
  } catch (const ocoee::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return ocoee::exit_code(error.kind());
  }
}
