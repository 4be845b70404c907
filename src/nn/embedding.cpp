// SPDX-License-Identifier: Apache-2.0
// Token embedding, with learned positions where the model has them, written by hand: tokens [B,T]
// -> x [B,T,width]. The token table may be split by rows over the tensor axis; the table of
// positions is whole on every rank.
#include "kernels/embedding.h"

#include "nn/dropout.h"
#include "nn/no_tape.h"
#include "nn/registry.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

class Embedding final : public ExchangingLayer {
 public:
  explicit Embedding(const plan::LayerSpec& spec)
      : ExchangingLayer(spec),
        width_(static_cast<int64_t>(spec.option("width"))),
        has_positions_(spec.parameters.size() > 1) {}

  void forward_pieces(const Bundle& in, Bundle& out, Saved& saved, Context& context,
                      Pieces& pieces) override {
    struct Between {
      at::Tensor tokens;
      Rows rows;
      Exchange sum;
    };
    const auto now = std::make_shared<Between>();
    pieces.add([this, &in, &context, now] {
      const NoTape no_grad;
      now->tokens = in.at("tokens").contiguous();
      if (!context.wants_output) return;
      now->rows = residual_rows(context);
      now->sum = sum_rows(lookup(now->tokens, has_positions_ && together(now->rows)), context);
    });
    pieces.end_turn();
    pieces.add([this, &out, &saved, &context, now] {
      const NoTape no_grad;
      if (context.save) saved.tensors = {now->tokens};
      if (!context.wants_output) return;
      at::Tensor x = now->sum.wait();
      if (has_positions_ && !together(now->rows)) x.add_(positions(now->rows).view(x.sizes()));
      out["x"] = dropout(x, *this, /*site=*/0, context, "dropout", now->rows);
      now->sum = {};
    });
  }

  void backward_pieces(const Bundle& grad_out, Bundle&, Saved& saved, WeightWork& later,
                       Context& context, Pieces& pieces) override {
    struct Between {
      at::Tensor tokens, own;
      Rows rows;
      Exchange gathering;
    };
    const auto now = std::make_shared<Between>();
    pieces.add([this, &grad_out, &saved, &context, now] {
      const NoTape no_grad;
      now->tokens = saved.tensors[0];
      saved.clear();
      now->rows = residual_rows(context);
      now->own =
          dropout(grad_out.at("x").contiguous(), *this, /*site=*/0, context, "dropout", now->rows);
      now->gathering = gather_rows(now->own, context);
    });
    pieces.end_turn();
    pieces.add([this, &later, now] {
      const at::Tensor all = now->gathering.wait(), own = now->own;
      now->gathering = {}, now->own.reset();
      later.add([this, own, all, tokens = now->tokens, rows = now->rows, lent = weights()] {
        add_gradients(own, all, tokens, rows, lent);
      });
    });
  }

 private:
  // Token and position are looked up in one pass where the rank has whole samples.
  static bool together(const Rows& rows) { return !rows.index.defined(); }

  void add_gradients(const at::Tensor& own, const at::Tensor& all, const at::Tensor& tokens,
                     const Rows& rows, const Weights& lent) const {
    const NoTape no_grad;
    kernels::EmbeddingBackward a = backward_arguments(all, tokens, lent);
    a.vocabulary = spec().parameters[0].shape[0];
    a.first_id = spec().parameters[0].first;
    a.d_token = lent.gradient_view(0).data_ptr();
    if (has_positions_ && together(rows)) a.d_position = lent.gradient_view(1).data_ptr();
    run(a, all);
    if (!has_positions_ || together(rows)) return;
    const at::Tensor places = places_of(rows);
    kernels::EmbeddingBackward b = backward_arguments(own, places.view({1, -1}), lent);
    b.vocabulary = spec().parameters[1].shape[0];
    b.d_token = lent.gradient_view(1).data_ptr();
    run(b, own);
  }

  kernels::Embedding arguments(const at::Tensor& ids, const at::Tensor& table,
                               const at::Tensor& y) const {
    kernels::Embedding a;
    a.dtype = dtype_of(table.scalar_type());
    a.batch = ids.size(0);
    a.length = ids.size(1);
    a.width = width_;
    a.vocabulary = table.size(0);
    a.ids = ids.data_ptr<int64_t>();
    a.token_table = table.data_ptr();
    a.y = y.data_ptr();
    return a;
  }

  at::Tensor lookup(const at::Tensor& tokens, bool with_positions) const {
    const at::Tensor table = weights().view(0);
    const at::Tensor x = at::empty({tokens.size(0), tokens.size(1), width_}, table.options());
    kernels::Embedding a = arguments(tokens, table, x);
    if (const plan::ParameterSpec& split = spec().parameters[0]; !split.whole.empty())
      a.first_id = split.first, a.all_ids = split.whole[0];
    if (with_positions) a.position_table = weights().view(1).data_ptr();
    kernels::embedding_forward(a, current_stream(place_of(x)));
    return x;
  }

  // The rows of the position table that go with the rows of x.
  at::Tensor positions(const Rows& rows) const {
    const at::Tensor places = places_of(rows), table = weights().view(1);
    const at::Tensor y = at::empty({places.numel(), width_}, table.options());
    kernels::embedding_forward(arguments(places.view({1, -1}), table, y),
                               current_stream(place_of(y)));
    return y;
  }
  static at::Tensor places_of(const Rows& rows) { return rows.index.remainder(rows.per_sample); }

  kernels::EmbeddingBackward backward_arguments(const at::Tensor& g, const at::Tensor& ids,
                                                const Weights& lent) const {
    kernels::EmbeddingBackward a;
    a.dtype = dtype_of(g.scalar_type());
    a.batch = ids.size(0);
    a.length = ids.size(1);
    a.width = width_;
    a.ids = ids.data_ptr<int64_t>();
    a.dy = g.data_ptr();
    a.bf16_gradients = lent.gradient.scalar_type() == at::kBFloat16;
    return a;
  }
  static void run(kernels::EmbeddingBackward& a, const at::Tensor& like) {
    const device::Device place = place_of(like);
    const at::Tensor space = workspace(kernels::embedding_backward_workspace(a, place), like);
    a.workspace = space.data_ptr();
    kernels::embedding_backward(a, current_stream(place));
  }

  int64_t width_;
  bool has_positions_;
};

}  // namespace

std::unique_ptr<Layer> make_embedding(const plan::LayerSpec& spec) {
  return std::make_unique<Embedding>(spec);
}

}  // namespace ocoee::nn
