// SPDX-License-Identifier: Apache-2.0
// bench_products [--rows N] [--width N] [--heads N] [--length N] [--vocabulary N]: each matrix
// product of a GPT-2 block and head, bf16, with the library's first answer and with the fastest of
// its algorithms (kernels/matmul.h), and the attention, with their rates. Without arguments: GPT-2
// 124M at 64 x 1,024 tokens.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/cast.h"
#include "kernels/matmul.h"

namespace {

using namespace ocoee;

const device::Device kGpu{device::Kind::cuda, 0};

double milliseconds(const std::function<void()>& work, const device::Stream& stream) {
  device::Event begin(kGpu, true), end(kGpu, true);
  for (int i = 0; i < 3; ++i) work();
  std::vector<double> times;
  for (int i = 0; i < 15; ++i) {
    begin.record(stream);
    work();
    end.record(stream);
    end.synchronize();
    times.push_back(end.milliseconds_since(begin));
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// Numbers that no product is quicker for, about one in size.
device::Memory numbers(int64_t count, DType dtype, const device::Stream& stream) {
  std::vector<float> host(1 << 20);
  uint64_t state = 88172645463325252u;
  for (float& x : host) {
    x = 0;
    for (int i = 0; i < 4; ++i) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      x += static_cast<float>(state % 20001) / 10000.0f - 1.0f;
    }
  }
  device::Memory small(host.size() * 4, device::Memory::Where::device, kGpu);
  device::copy(small.data(), kGpu, host.data(), {}, host.size() * 4, stream);
  device::Memory all(static_cast<size_t>(count) * size_of(dtype), device::Memory::Where::device,
                     kGpu);
  const device::Buffer from{small.data(), static_cast<int64_t>(host.size()), DType::f32, kGpu},
      to{all.data(), count, dtype, kGpu};
  for (int64_t at = 0; at < count; at += from.count) {
    const int64_t n = std::min(from.count, count - at);
    kernels::cast(from.slice(0, n), to.slice(at, n), stream);
  }
  device::synchronize(stream);
  return all;
}

struct Shape {
  int64_t rows = 65536, width = 768, heads = 12, length = 1024, vocabulary = 50304;
};

double total_first = 0, total_best = 0;

void measure(const char* name, kernels::Matmul call, const device::Stream& stream) {
  const device::Memory a = numbers(call.m * call.k, call.dtype, stream),
                       b = numbers(call.k * call.n, call.dtype, stream),
                       d = numbers(call.m * call.n, call.d_dtype, stream),
                       bias = numbers(std::max(call.n, call.m), DType::f32, stream),
                       space(kernels::kMatmulWorkspace, device::Memory::Where::device, kGpu);
  device::Memory aux, c;
  call.a = a.data();
  call.b = b.data();
  call.d = d.data();
  call.workspace = space.data();
  call.workspace_bytes = kernels::kMatmulWorkspace;
  if (call.epilogue != kernels::Epilogue::none) call.bias = bias.data();
  if (call.epilogue == kernels::Epilogue::gelu_gradient) call.bias = nullptr;
  if (call.epilogue == kernels::Epilogue::gelu ||
      call.epilogue == kernels::Epilogue::gelu_gradient) {
    aux = numbers(call.m * call.n, call.dtype, stream);
    call.aux = aux.data();
  }
  if (call.c) {  // any address: asks for an addition, into d itself when d is wider
    if (call.d_dtype == call.dtype) c = numbers(call.m * call.n, call.dtype, stream);
    call.c = call.d_dtype == call.dtype ? c.data() : call.d;
  }
  double times[2] = {0, 0};
  for (const bool choose : {false, true}) {
    call.measure = choose;
    if (!kernels::cuda::matmul(call, stream)) {
      std::printf("%-34s the library has none\n", name);
      return;
    }
    times[choose] = milliseconds([&] { kernels::cuda::matmul(call, stream); }, stream);
  }
  const double flops =
      2.0 * static_cast<double>(call.m) * static_cast<double>(call.n) * static_cast<double>(call.k);
  std::printf("%-34s %9.3f %9.3f %8.0f\n", name, times[0], times[1], flops / times[1] / 1e9);
  std::fflush(stdout);
  total_first += times[0], total_best += times[1];
}

void sum_up(const char* name) {
  std::printf("%-34s %9.3f %9.3f\n", name, total_first, total_best);
  total_first = total_best = 0;
}

kernels::Matmul forward(int64_t rows, int64_t in, int64_t out, kernels::Epilogue epilogue,
                        bool adds = false) {
  kernels::Matmul call;
  call.m = rows, call.k = in, call.n = out;
  call.b_transposed = true;
  call.epilogue = epilogue;
  static const int any = 0;
  if (adds) call.c = &any;
  return call;
}

kernels::Matmul input_gradient(int64_t rows, int64_t in, int64_t out,
                               kernels::Epilogue epilogue = kernels::Epilogue::none) {
  kernels::Matmul call;
  call.m = rows, call.k = out, call.n = in;
  call.epilogue = epilogue;
  return call;
}

kernels::Matmul weight_gradient(int64_t rows, int64_t in, int64_t out, bool adds = true) {
  kernels::Matmul call;
  call.m = out, call.k = rows, call.n = in;
  call.a_transposed = true;
  call.d_dtype = DType::f32;
  static const int any = 0;
  if (adds) call.c = &any;
  return call;
}

void products(const Shape& s, const device::Stream& stream) {
  using kernels::Epilogue;
  const int64_t n = s.rows, w = s.width;
  std::printf("%-34s %9s %9s %8s\n", "product", "first ms", "best ms", "TFLOP/s");
  measure("qkv + bias", forward(n, w, 3 * w, Epilogue::bias), stream);
  measure("output + bias + residual", forward(n, w, w, Epilogue::bias, true), stream);
  measure("up + bias + gelu, aux", forward(n, w, 4 * w, Epilogue::gelu), stream);
  measure("down + bias + residual", forward(n, 4 * w, w, Epilogue::bias, true), stream);
  sum_up("forward of a block");
  measure("down: input, gelu'", input_gradient(n, 4 * w, w, Epilogue::gelu_gradient), stream);
  measure("up: input", input_gradient(n, w, 4 * w), stream);
  measure("output: input", input_gradient(n, w, w), stream);
  measure("qkv: input", input_gradient(n, w, 3 * w), stream);
  sum_up("input gradients of a block");
  measure("down: weight", weight_gradient(n, 4 * w, w), stream);
  measure("up: weight", weight_gradient(n, w, 4 * w), stream);
  measure("output: weight", weight_gradient(n, w, w), stream);
  measure("qkv: weight", weight_gradient(n, w, 3 * w), stream);
  sum_up("weight gradients of a block");
  measure("logits", forward(n, w, s.vocabulary, Epilogue::none), stream);
  measure("logits: input", input_gradient(n, w, s.vocabulary), stream);
  measure("logits: weight", weight_gradient(n, w, s.vocabulary), stream);
  sum_up("head");
  std::printf("variants\n");
  measure("qkv", forward(n, w, 3 * w, Epilogue::none), stream);
  measure("output", forward(n, w, w, Epilogue::none), stream);
  measure("up", forward(n, w, 4 * w, Epilogue::none), stream);
  measure("down", forward(n, 4 * w, w, Epilogue::none), stream);
  measure("down: input, no gelu'", input_gradient(n, 4 * w, w), stream);
  std::printf("written in float32\n");
  measure("down: weight", weight_gradient(n, 4 * w, w, false), stream);
  measure("qkv: weight", weight_gradient(n, w, 3 * w, false), stream);
}

void attention(const Shape& s, bool deterministic, const device::Stream& stream) {
  kernels::Attention a;
  a.batch = s.rows / s.length;
  a.length = a.keys = s.length;
  a.heads = a.kv_heads = s.heads;
  a.head_dim = s.width / s.heads;
  a.scale = 1 / 8.0;
  a.deterministic = deterministic;
  a.measure = !deterministic;
  const int64_t n = s.rows * s.width;
  const device::Memory qkv = numbers(3 * n, DType::bf16, stream),
                       grads = numbers(3 * n, DType::bf16, stream),
                       out = numbers(n, DType::bf16, stream),
                       d_out = numbers(n, DType::bf16, stream),
                       sums = numbers(s.rows * s.heads, DType::f32, stream);
  const auto part = [&](const device::Memory& memory, int64_t index, int64_t parts) {
    const int64_t row = parts * s.width;
    return kernels::HeadsView{static_cast<char*>(memory.data()) + index * s.width * 2,
                              {row * s.length, row, a.head_dim}};
  };
  a.q = part(qkv, 0, 3), a.k = part(qkv, 1, 3), a.v = part(qkv, 2, 3), a.out = part(out, 0, 1);
  a.d_q = part(grads, 0, 3), a.d_k = part(grads, 1, 3), a.d_v = part(grads, 2, 3);
  a.d_out = part(d_out, 0, 1);
  a.log_sum_exp = static_cast<float*>(sums.data());
  for (const bool backward : {false, true}) {
    const int64_t bytes = kernels::cuda::attention_workspace(a, backward, stream);
    if (bytes < 0) {
      std::printf("attention %s: the library has none\n", backward ? "backward" : "forward");
      return;
    }
    const device::Memory space(static_cast<size_t>(std::max<int64_t>(bytes, 8)),
                               device::Memory::Where::device, kGpu);
    a.workspace = space.data();
    const auto work =
        backward ? kernels::cuda::attention_backward : kernels::cuda::attention_forward;
    const double time = milliseconds([&] { work(a, stream); }, stream);
    const double flops = (backward ? 2.5 : 1.0) * 2.0 * static_cast<double>(n) *
                         static_cast<double>(s.length);  // causal: half of the square
    std::printf("attention %-24s %9s %9.3f %8.0f   scratch %.0f MB\n",
                backward ? deterministic ? "backward, deterministic" : "backward" : "forward", "",
                time, flops / time / 1e9, static_cast<double>(bytes) / 1e6);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Shape shape;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    const int64_t value = std::atoll(argv[i + 1]);
    if (key == "--rows") shape.rows = value;
    if (key == "--width") shape.width = value;
    if (key == "--heads") shape.heads = value;
    if (key == "--length") shape.length = value;
    if (key == "--vocabulary") shape.vocabulary = value;
  }
  if (device::cuda_device_count() == 0) {
    std::printf("skipped: %s\n", device::cuda_unavailable_reason().c_str());
    return 77;
  }
  const device::OwnedStream stream(kGpu);
  std::printf("%s, %lld rows, width %lld\n", device::properties(kGpu).name.c_str(),
              static_cast<long long>(shape.rows), static_cast<long long>(shape.width));
  for (const bool deterministic : {false, true}) attention(shape, deterministic, stream.view());
  products(shape, stream.view());
  return 0;
}
