// SPDX-License-Identifier: Apache-2.0
#include "kernels/cases.h"

#include <deque>

#include "kernels/activation.h"
#include "kernels/cast.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/float8.h"
#include "kernels/norm.h"
#include "kernels/number.h"
#include "kernels/optimizer_step.h"
#include "kernels/reduce.h"
#include "kernels/rotary.h"

namespace ocoee::bench {
namespace {

using namespace kernels;

constexpr int64_t kHeadWidth = 64, kLength = 1024;  // of rotary positions

// The buffers of one case.
class Buffers {
 public:
  explicit Buffers(const device::Stream& stream) : stream_(stream) {}
  // Values that repeat with a prime period: no kernel is quicker for it.
  void* values(DType dtype, int64_t count) {
    std::vector<float> host(static_cast<size_t>(std::min<int64_t>(count, 10007)));
    for (size_t i = 0; i < host.size(); ++i)
      host[i] = static_cast<float>(static_cast<int>(i * 7919 % 4001) - 2000) / 1000.0f;
    const device::Buffer small{raw(host.size() * 4), static_cast<int64_t>(host.size()), DType::f32,
                               stream_.device};
    device::copy(small.data, stream_.device, host.data(), {}, host.size() * 4, stream_);
    device::synchronize(stream_);
    const device::Buffer all{raw(static_cast<size_t>(count) * size_of(dtype)), count, dtype,
                             stream_.device};
    for (int64_t at = 0; at < count; at += small.count) {
      const int64_t n = std::min(small.count, count - at);
      cast(small.slice(0, n), all.slice(at, n), stream_);
    }
    return all.data;
  }
  int64_t* ids(int64_t count, int64_t below) {
    std::vector<int64_t> host(static_cast<size_t>(count));
    for (size_t i = 0; i < host.size(); ++i)
      host[i] = static_cast<int64_t>(mix64(i) % static_cast<uint64_t>(below));
    void* data = raw(host.size() * 8);
    device::copy(data, stream_.device, host.data(), {}, host.size() * 8, stream_);
    device::synchronize(stream_);
    return static_cast<int64_t*>(data);
  }
  void* zeros(size_t bytes) {
    void* data = raw(bytes);
    device::set_zero({data, static_cast<int64_t>(bytes), DType::u8, stream_.device}, stream_);
    return data;
  }

 private:
  void* raw(size_t bytes) {
    memory_.emplace_back(std::max<size_t>(bytes, 8), device::Memory::Where::device, stream_.device);
    return memory_.back().data();
  }
  device::Stream stream_;
  std::deque<device::Memory> memory_;
};

double size(DType dtype, int64_t count) {
  return static_cast<double>(count) * static_cast<double>(size_of(dtype));
}

void norm_cases(const Shapes& s, bool rms, const device::Stream& stream,
                const std::function<void(const Case&)>& visit) {
  const int64_t n = s.rows * s.width;
  Buffers b(stream);
  NormForward f{s.dtype, rms, s.rows, s.width, 1e-5, b.values(s.dtype, n)};
  f.weight = b.values(s.dtype, s.width), f.bias = rms ? nullptr : b.values(s.dtype, s.width),
  f.y = b.values(s.dtype, n);
  f.mean = rms ? nullptr : b.zeros(static_cast<size_t>(s.rows) * 8),
  f.rstd = b.zeros(static_cast<size_t>(s.rows) * 8);
  const std::string name = rms ? "rms norm" : "layer norm";
  visit({name + " forward", 2 * size(s.dtype, n), [=] { norm_forward(f, stream); },
         library_norm_forward(s.dtype, s.rows, s.width, rms, stream.device)});
  NormForward fused = f;
  fused.add = b.values(s.dtype, n), fused.sum = b.values(s.dtype, n);
  visit({name + " forward, + residual",
         4 * size(s.dtype, n),
         [=] { norm_forward(fused, stream); },
         {}});
  NormBackward back{s.dtype, rms, s.rows, s.width, b.values(s.dtype, n), f.x, f.weight};
  back.mean = f.mean, back.rstd = f.rstd, back.d_residual = b.values(s.dtype, n),
  back.dx = b.values(s.dtype, n);
  back.d_weight = b.zeros(static_cast<size_t>(s.width) * 8),
  back.d_bias = rms ? nullptr : b.zeros(static_cast<size_t>(s.width) * 8);
  back.workspace = b.zeros(norm_backward_workspace(s.dtype, s.rows, s.width, stream.device));
  visit({name + " backward, + residual", 4 * size(s.dtype, n), [=] { norm_backward(back, stream); },
         library_norm_backward(s.dtype, s.rows, s.width, rms, stream.device)});
  NormBackward again = back;
  again.bias = f.bias, again.y = f.y;
  visit({name + " backward, + residual, output again",
         5 * size(s.dtype, n),
         [=] { norm_backward(again, stream); },
         {}});
}

void activation_cases(const Shapes& s, const device::Stream& stream,
                      const std::function<void(const Case&)>& visit) {
  const int64_t inner = 4 * s.width, n = s.rows * inner;
  Buffers b(stream);
  Gelu g{s.dtype, s.rows, inner, b.values(s.dtype, n), nullptr, nullptr, b.values(s.dtype, n)};
  visit({"gelu forward", 2 * size(s.dtype, n), [=] { gelu_forward(g, stream); },
         library_gelu_forward(s.dtype, s.rows, inner, stream.device)});
  Gelu back = g;
  back.dy = b.values(s.dtype, n);
  visit({"gelu backward", 3 * size(s.dtype, n), [=] { gelu_backward(back, stream); },
         library_gelu_backward(s.dtype, s.rows, inner, stream.device)});
  Gelu again = back;
  again.y = b.values(s.dtype, n);
  again.d_bias = b.zeros(static_cast<size_t>(inner) * 8);
  again.workspace = b.zeros(column_sum_workspace(s.dtype, s.rows, inner, stream.device));
  visit({"gelu backward, bias gradient, output again",
         4 * size(s.dtype, n),
         [=] { gelu_backward(again, stream); },
         {}});
  const int64_t half = 2 * s.width;
  Swiglu sw{s.dtype, s.rows, half, g.x, nullptr, g.out};
  visit({"swiglu forward", 3 * size(s.dtype, s.rows * half), [=] { swiglu_forward(sw, stream); },
         library_swiglu_forward(s.dtype, s.rows, half, stream.device)});
  Swiglu sw_back = sw;
  sw_back.dy = back.dy;
  visit({"swiglu backward",
         5 * size(s.dtype, s.rows * half),
         [=] { swiglu_backward(sw_back, stream); },
         {}});
  const DType wide = wide_dtype(s.dtype);
  ColumnSum c{s.dtype,
              s.rows,
              inner,
              g.x,
              b.values(wide, inner),
              b.zeros(column_sum_workspace(s.dtype, s.rows, inner, stream.device))};
  visit({"column sum (bias gradient)", size(s.dtype, n), [=] { column_sum(c, stream); },
         library_column_sum(s.dtype, s.rows, inner, stream.device)});
}

void token_cases(const Shapes& s, const device::Stream& stream,
                 const std::function<void(const Case&)>& visit) {
  {
    const int64_t rows = std::min<int64_t>(s.rows, (int64_t{1} << 29) / s.vocabulary),
                  n = rows * s.vocabulary;
    Buffers b(stream);
    CrossEntropy c{s.dtype,
                   rows,
                   s.vocabulary,
                   s.vocabulary,
                   b.values(s.dtype, n),
                   b.ids(rows, s.vocabulary),
                   nullptr,
                   b.zeros(static_cast<size_t>(rows) * 8)};
    visit({"cross-entropy forward + backward", 2 * size(s.dtype, n),
           [=] { cross_entropy(c, stream); },
           library_cross_entropy(s.dtype, rows, s.vocabulary, stream.device)});
  }
  const int64_t n = s.rows * s.width;
  Buffers b(stream);
  Dropout d{s.dtype, s.rows, s.width};
  d.probability = 0.1, d.state = static_cast<int64_t*>(b.zeros(16)), d.x = b.values(s.dtype, n),
  d.residual = b.values(s.dtype, n), d.y = b.values(s.dtype, n);
  visit({"dropout + residual", 3 * size(s.dtype, n), [=] { dropout(d, stream); },
         library_dropout(s.dtype, s.rows, s.width, stream.device)});
  Embedding forward{s.dtype, 1, s.rows, s.width, s.vocabulary};
  forward.ids = b.ids(s.rows, s.vocabulary);
  forward.token_table = b.values(s.dtype, s.vocabulary * s.width), forward.y = d.y;
  visit({"embedding forward", 2 * size(s.dtype, n), [=] { embedding_forward(forward, stream); },
         library_embedding_forward(s.dtype, s.rows, s.width, s.vocabulary, stream.device)});
  EmbeddingBackward e{s.dtype, 1, s.rows, s.width, s.vocabulary, 0, b.ids(s.rows, s.vocabulary),
                      d.x};
  e.d_token = b.values(wide_dtype(s.dtype), s.vocabulary * s.width);
  e.workspace = b.zeros(embedding_backward_workspace(e, stream.device));
  const double touched = static_cast<double>(std::min(s.rows, s.vocabulary));
  visit({"embedding backward", size(s.dtype, n) + 8.0 * touched * static_cast<double>(s.width),
         [=] { embedding_backward(e, stream); },
         library_embedding_backward(s.dtype, s.rows, s.width, s.vocabulary, stream.device)});
}

// What stands between products and attention: heads turned, operands rounded.
void operand_cases(const Shapes& s, const device::Stream& stream,
                   const std::function<void(const Case&)>& visit) {
  const int64_t n = s.rows * s.width;
  Buffers b(stream);
  Rotary r{s.dtype, s.rows, s.width / kHeadWidth, kHeadWidth, s.width, std::min(s.rows, kLength)};
  r.cos = b.zeros(static_cast<size_t>(r.length * kHeadWidth / 2) * 8);
  r.sin = b.zeros(static_cast<size_t>(r.length * kHeadWidth / 2) * 8);
  r.x = b.values(s.dtype, n);
  if (s.width % kHeadWidth == 0)
    visit({"rotary, in place", 2 * size(s.dtype, n), [=] { rotary(r, stream); },
           library_rotary(s.dtype, s.rows, s.width, kHeadWidth, stream.device)});
  ToFloat8 f{s.dtype, Float8::e4m3, s.rows, s.width, b.values(s.dtype, n)};
  f.scale = static_cast<const float*>(b.values(DType::f32, 1));
  f.out = static_cast<uint8_t*>(b.zeros(static_cast<size_t>(n)));
  f.seen = static_cast<float*>(b.zeros(4));
  const double bytes = size(s.dtype, n) + static_cast<double>(n);
  visit({"to float8, largest seen", bytes, [=] { to_float8(f, stream); },
         library_to_float8(s.dtype, s.rows, s.width, stream.device)});
  ToFloat8 turned = f;
  turned.transposed = true;
  visit({"to float8, transposed", bytes, [=] { to_float8(turned, stream); }, {}});
}

void optimizer_cases(const Shapes& s, const device::Stream& stream,
                     const std::function<void(const Case&)>& visit) {
  const int64_t n = s.parameters;
  Buffers b(stream);
  FlatPiece piece;
  piece.count = n, piece.master = b.values(DType::f32, n), piece.gradient = b.values(DType::f32, n);
  auto* scalars = static_cast<StepScalars*>(b.zeros(sizeof(StepScalars)));
  const StepScalars start;
  device::copy(scalars, stream.device, &start, {}, sizeof start, stream);
  const DecaySegment segment{0, n / 2, 0.1};
  void* segments = b.zeros(sizeof segment);
  device::copy(segments, stream.device, &segment, {}, sizeof segment, stream);
  device::synchronize(stream);
  set_learning_rate(scalars, 1e-6, stream);
  piece.scalars = scalars, piece.segments = static_cast<const DecaySegment*>(segments),
  piece.segment_count = 1;
  const AdamW a{piece, b.zeros(static_cast<size_t>(n) * 4), b.zeros(static_cast<size_t>(n) * 4)};
  visit({"adamw", 7 * size(DType::f32, n), [=] { adamw(a, stream); },
         library_adamw(n, stream.device)});
  AdamW copies = a;
  copies.piece.value = b.values(DType::bf16, n);
  visit(
      {"adamw, bf16 copy out", 30.0 * static_cast<double>(n), [=] { adamw(copies, stream); }, {}});
  AdamW narrow = copies;
  narrow.piece.gradient = b.values(DType::bf16, n), narrow.piece.bf16_gradient = true;
  visit({"adamw, bf16 gradient, copy",
         28.0 * static_cast<double>(n),
         [=] { adamw(narrow, stream); },
         {}});
  narrow.piece.bf16_states = true;
  narrow.first_moment = b.zeros(static_cast<size_t>(n) * 2);
  narrow.second_moment = b.zeros(static_cast<size_t>(n) * 2);
  visit({"adamw, and bf16 moments",
         20.0 * static_cast<double>(n),
         [=] { adamw(narrow, stream); },
         {}});
  narrow.piece.split_masters = true;
  visit({"adamw, and split masters",
         18.0 * static_cast<double>(n),
         [=] { adamw(narrow, stream); },
         {}});
  const Sgd g{piece, a.first_moment};
  visit({"sgd", 5 * size(DType::f32, n), [=] { sgd(g, stream); }, {}});
  const SumOfSquares q{DType::f32,
                       piece.gradient,
                       n,
                       1,
                       static_cast<double*>(b.zeros(8)),
                       b.zeros(sum_of_squares_workspace(n, stream.device))};
  visit({"sum of squares", size(DType::f32, n), [=] { sum_of_squares(q, stream); },
         library_sum_of_squares(n, stream.device)});
  const device::Buffer low{copies.piece.value, n, DType::bf16, stream.device},
      sum{a.second_moment, n, DType::f32, stream.device};
  visit({"accumulate f32 += bf16", 10.0 * static_cast<double>(n),
         [=] { accumulate(low, 1, sum, stream); }, library_accumulate(n, stream.device)});
}

}  // namespace

void for_each_case(const Shapes& shapes, const device::Stream& stream,
                   const std::function<void(const Case&)>& visit) {
  norm_cases(shapes, false, stream, visit);
  norm_cases(shapes, true, stream, visit);
  activation_cases(shapes, stream, visit);
  token_cases(shapes, stream, visit);
  operand_cases(shapes, stream, visit);
  optimizer_cases(shapes, stream, visit);
}

}  // namespace ocoee::bench
