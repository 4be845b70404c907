// SPDX-License-Identifier: Apache-2.0
// bench_overlap [--rows N] [--width N] [--layers N]: does AdamW's pass over the weights of a model
// go beside the forward products of the next step? Products and update one after the other, and
// with the update on a few multiprocessors of its own. Medians of interleaved rounds.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/matmul.h"
#include "kernels/optimizer_step.h"

namespace {

using namespace ocoee;

const device::Device kGpu{device::Kind::cuda, 0};

struct Shape {
  int64_t rows = 4096, width = 6144, layers = 4;
};

device::Memory noise(int64_t count, bool half, const device::Stream& stream) {
  const size_t width = half ? 2 : 4;
  std::vector<char> host(size_t{1} << 22);
  uint64_t state = 88172645463325252u;
  for (size_t i = 0; i < host.size() / width; ++i) {
    float x = 0;
    for (int k = 0; k < 4; ++k) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      x += static_cast<float>(state % 20001) / 10000.0f - 1.0f;
    }
    uint32_t bits = 0;
    std::memcpy(&bits, &x, 4);
    const auto high = static_cast<uint16_t>(bits >> 16);
    half ? std::memcpy(&host[i * 2], &high, 2) : std::memcpy(&host[i * 4], &bits, 4);
  }
  device::Memory all(static_cast<size_t>(count) * width, device::Memory::Where::device, kGpu);
  for (size_t at = 0; at < all.bytes(); at += host.size())
    device::copy(static_cast<char*>(all.data()) + at, kGpu, host.data(), {},
                 std::min(host.size(), all.bytes() - at), stream);
  device::synchronize(stream);
  return all;
}

class Step {
 public:
  Step(const Shape& shape, const device::Stream& main)
      : shape_(shape),
        main_(main),
        side_(kGpu),
        space_(kernels::kMatmulWorkspace, device::Memory::Where::device, kGpu),
        scalars_(sizeof(kernels::StepScalars), device::Memory::Where::device, kGpu) {
    const int64_t w = shape.width, n = shape.rows;
    parameters_ = 12 * w * w;
    kernels::StepScalars scalars;
    scalars.learning_rate = 1e-4, scalars.correction1 = 0.1, scalars.correction2 = 0.05;
    device::copy(scalars_.data(), kGpu, &scalars, {}, sizeof scalars, main);
    for (device::Memory* array : {&master_, &gradient_, &first_, &second_})
      *array = noise(parameters_, false, main);
    device::set_zero({second_.data(), parameters_, DType::f32, kGpu}, main);
    weights_ = noise(parameters_, true, main);
    for (device::Memory* array : {&x_, &y_, &aux_}) *array = noise(4 * n * w, true, main);
    bias_ = noise(4 * w, true, main);
  }

  // `beside`: multiprocessors of the update; 0: it comes first, on all.
  double run(int beside, bool products, bool update) {
    device::Event begin(kGpu, true), end(kGpu, true), fork(kGpu), join(kGpu);
    begin.record(main_);
    if (update && beside > 0) {
      fork.record(main_);
      fork.wait_on(side_.view());
      for (int64_t l = 0; l < shape_.layers; ++l) step(beside, side_.view());
      join.record(side_.view());
    } else if (update) {
      for (int64_t l = 0; l < shape_.layers; ++l) step(0, main_);
    }
    for (int64_t l = 0; products && l < shape_.layers; ++l) layer(beside);
    if (update && beside > 0) join.wait_on(main_);
    end.record(main_);
    end.synchronize();
    return end.milliseconds_since(begin);
  }

 private:
  void step(int multiprocessors, const device::Stream& stream) {
    kernels::AdamW a;
    a.piece.count = parameters_;
    a.piece.master = master_.data(), a.piece.gradient = gradient_.data();
    a.piece.value = copy_of_weights();
    a.piece.scalars = static_cast<const kernels::StepScalars*>(scalars_.data());
    a.piece.multiprocessors = multiprocessors;
    a.first_moment = first_.data(), a.second_moment = second_.data();
    kernels::adamw(a, stream);
  }
  // The products read other weights: those of the layer before would be in the way of a fair clock.
  void* copy_of_weights() {
    if (!copied_.data())
      copied_ =
          device::Memory(static_cast<size_t>(parameters_) * 2, device::Memory::Where::device, kGpu);
    return copied_.data();
  }
  void layer(int left) {
    const int64_t w = shape_.width;
    const char* at = static_cast<const char*>(weights_.data());
    const auto product = [&](int64_t in, int64_t out, kernels::Epilogue epilogue, bool adds) {
      kernels::Matmul call;
      call.m = shape_.rows, call.k = in, call.n = out;
      call.b_transposed = true;
      call.a = x_.data(), call.b = at, call.d = y_.data(), call.bias = bias_.data();
      call.c = adds ? aux_.data() : nullptr;
      call.aux = epilogue == kernels::Epilogue::gelu ? aux_.data() : nullptr;
      call.epilogue = epilogue;
      call.workspace = space_.data(), call.workspace_bytes = kernels::kMatmulWorkspace;
      call.left = left;
      call.measure = true;
      kernels::cuda::matmul(call, main_);
      at += in * out * 2;
    };
    product(w, 3 * w, kernels::Epilogue::bias, false);
    product(w, w, kernels::Epilogue::bias, true);
    product(w, 4 * w, kernels::Epilogue::gelu, false);
    product(4 * w, w, kernels::Epilogue::bias, true);
  }

  Shape shape_;
  device::Stream main_;
  device::OwnedStream side_;
  int64_t parameters_ = 0;
  device::Memory space_, scalars_, master_, gradient_, first_, second_, weights_, copied_, x_, y_,
      aux_, bias_;
};

}  // namespace

int main(int argc, char** argv) {
  Shape shape;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    const int64_t value = std::atoll(argv[i + 1]);
    if (key == "--rows") shape.rows = value;
    if (key == "--width") shape.width = value;
    if (key == "--layers") shape.layers = value;
  }
  if (device::cuda_device_count() == 0) {
    std::printf("skipped: %s\n", device::cuda_unavailable_reason().c_str());
    return 77;
  }
  const device::OwnedStream stream(kGpu);
  Step step(shape, stream.view());
  struct Variant {
    const char* name;
    int beside;
    bool products, update;
    std::vector<double> times;
  };
  std::vector<Variant> variants{{"products alone", 0, true, false, {}},
                                {"update alone", 0, false, true, {}},
                                {"update, then products", 0, true, true, {}},
                                {"products but for 24", 24, true, false, {}},
                                {"update alone on 8", 8, false, true, {}},
                                {"update alone on 24", 24, false, true, {}},
                                {"update on 8 beside products", 8, true, true, {}},
                                {"update on 16 beside products", 16, true, true, {}},
                                {"update on 24 beside products", 24, true, true, {}},
                                {"update on 32 beside products", 32, true, true, {}},
                                {"update on 44 beside products", 44, true, true, {}}};
  for (int round = 0; round < 14; ++round) {
    for (Variant& one : variants) {
      for (int back_to_back = 0; back_to_back < 3; ++back_to_back) {
        const double time = step.run(one.beside, one.products, one.update);
        if (round > 1) one.times.push_back(time);
      }
    }
  }
  std::printf("%s, %lld rows, width %lld, %lld layers: ms\n", device::properties(kGpu).name.c_str(),
              static_cast<long long>(shape.rows), static_cast<long long>(shape.width),
              static_cast<long long>(shape.layers));
  for (Variant& one : variants) {
    std::sort(one.times.begin(), one.times.end());
    std::printf("%-32s %8.3f (%.3f to %.3f)\n", one.name, one.times[one.times.size() / 2],
                one.times.front(), one.times.back());
  }
  return 0;
}
