// SPDX-License-Identifier: Apache-2.0
#include "nn/sequence_exchange.h"

#include <ATen/ATen.h>

#include "core/trace.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

// What of this rank's queries meets what of another's keys: runs of the local sequence, which is
// the pieces r and 2n - 1 - r.
struct Meeting {
  int64_t first_query, queries, keys;
  bool causal;
};
Meeting meeting_of(int64_t length, int rank, int other) {
  if (other == rank) return {0, length, length, true};
  if (other < rank) return {0, length, length / 2, false};  // its second piece is in the future
  return {length / 2, length / 2, length, false};           // our first piece is in its past
}

c10::ScalarType wide_type(const at::Tensor& t) {
  return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// A block that moves on to the next rank while its successor arrives from the one before.
class Move {
 public:
  Move(at::Tensor leaving, comm::Communicator& ring) : leaving_(std::move(leaving)) {
    const trace::Scope scope("communication", "comm:context");
    arriving_ = at::empty_like(leaving_);
    const device::Stream stream = current_stream(place_of(leaving_));
    const int n = ring.size(), next = (ring.rank() + 1) % n, before = (ring.rank() + n - 1) % n;
    exchange_ =
        ring.exchange_async(buffer_of(leaving_), next, buffer_of(arriving_), before, stream);
  }
  at::Tensor wait() {
    const trace::Scope scope("communication", "comm:context");
    exchange_->wait(current_stream(place_of(arriving_)));
    return arriving_;
  }

 private:
  at::Tensor leaving_, arriving_;
  comm::WorkHandle exchange_;
};

void exchange(const at::Tensor& leaving, const at::Tensor& arriving, comm::Communicator& axis) {
  const trace::Scope scope("communication", "comm:context");
  axis.all_to_all(buffer_of(leaving), buffer_of(arriving), current_stream(place_of(leaving)));
}

// [B, heads, T] as a factor of [B, T, heads, D].
at::Tensor as_factor(const at::Tensor& t) {
  return t.transpose(1, 2).unsqueeze(3);
}

}  // namespace

at::Tensor ring_attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  comm::Communicator& ring, AttentionSaved* saved) {
  const int n = ring.size();
  const int64_t length = q.size(1), kv_heads = k.size(2);
  at::Tensor held = at::cat({k, v}, 2), out, log_sum_exp;
  for (int step = 0; step < n; ++step) {
    std::optional<Move> move;
    if (step + 1 < n) move.emplace(held, ring);
    const Meeting m = meeting_of(length, ring.rank(), (ring.rank() + n - step) % n);
    AttentionSaved part;
    const at::Tensor mixed = attention_forward(
        q.narrow(1, m.first_query, m.queries), held.narrow(2, 0, kv_heads).narrow(1, 0, m.keys),
        held.narrow(2, kv_heads, kv_heads).narrow(1, 0, m.keys), m.causal, &part);
    if (step == 0) {
      out = mixed.to(wide_type(mixed), /*non_blocking=*/true, /*copy=*/true);
      log_sum_exp = saved && saved->log_sum_exp.defined()
                        ? saved->log_sum_exp.copy_(part.log_sum_exp)
                        : part.log_sum_exp.clone();
      if (saved) saved->random_state = std::move(part.random_state);
    } else {
      const at::Tensor so_far = log_sum_exp.narrow(2, m.first_query, m.queries),
                       both = at::logaddexp(so_far, part.log_sum_exp);
      out.narrow(1, m.first_query, m.queries)
          .mul_(as_factor(at::exp(so_far - both)))
          .add_(mixed * as_factor(at::exp(part.log_sum_exp - both)));
      so_far.copy_(both);
    }
    if (move) held = move->wait();
  }
  out = saved && saved->out.defined() ? saved->out.copy_(out) : out.to(q.scalar_type());
  if (saved) saved->out = out, saved->log_sum_exp = log_sum_exp;
  return out;
}

void ring_attention_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                             const at::Tensor& v, comm::Communicator& ring,
                             const AttentionSaved& saved, const at::Tensor& grad_q,
                             const at::Tensor& grad_k, const at::Tensor& grad_v) {
  const int n = ring.size();
  const int64_t length = q.size(1), kv_heads = k.size(2);
  const auto wide = q.options().dtype(wide_type(q));
  const at::Tensor d_query = at::zeros(q.sizes(), wide);
  at::Tensor held = at::cat({k, v}, 2), d_held = at::zeros(held.sizes(), wide);
  for (int step = 0; step < n; ++step) {
    std::optional<Move> move;
    if (step + 1 < n) move.emplace(held, ring);
    const Meeting m = meeting_of(length, ring.rank(), (ring.rank() + n - step) % n);
    const auto queries = [&](const at::Tensor& t) { return t.narrow(1, m.first_query, m.queries); };
    const auto keys = [&](const at::Tensor& t, int64_t first) {
      return t.narrow(2, first, kv_heads).narrow(1, 0, m.keys);
    };
    const AttentionSaved part{queries(saved.out).contiguous(),
                              saved.log_sum_exp.narrow(2, m.first_query, m.queries).contiguous(),
                              saved.random_state};
    const at::Tensor dq = at::empty({q.size(0), m.queries, q.size(2), q.size(3)}, q.options()),
                     dkv = at::empty({q.size(0), m.keys, 2 * kv_heads, q.size(3)}, q.options());
    attention_backward(queries(grad_out), queries(q), keys(held, 0), keys(held, kv_heads), m.causal,
                       part, dq, dkv.narrow(2, 0, kv_heads), dkv.narrow(2, kv_heads, kv_heads));
    queries(d_query).add_(dq);
    d_held.narrow(1, 0, m.keys).add_(dkv);
    // After the last step they are one rank from home.
    Move gradients(d_held, ring);
    if (move) held = move->wait();
    d_held = gradients.wait();
  }
  grad_q.copy_(d_query);
  grad_k.copy_(d_held.narrow(2, 0, kv_heads));
  grad_v.copy_(d_held.narrow(2, kv_heads, kv_heads));
}

at::Tensor share_heads(const std::vector<at::Tensor>& parts, comm::Communicator& axis) {
  const int64_t n = axis.size(), samples = parts[0].size(0), length = parts[0].size(1),
                head_dim = parts[0].size(3);
  std::vector<at::Tensor> blocks;  // by the rank they are for
  for (const at::Tensor& part : parts)
    blocks.push_back(
        part.reshape({samples, length, n, part.size(2) / n, head_dim}).permute({2, 0, 1, 3, 4}));
  const at::Tensor leaving = at::cat(blocks, 3).contiguous(), arrived = at::empty_like(leaving);
  exchange(leaving, arrived, axis);
  return arrived.transpose(0, 1).reshape({samples, n * length, arrived.size(3), head_dim});
}

void share_sequence(const at::Tensor& whole, const std::vector<at::Tensor>& parts,
                    comm::Communicator& axis) {
  const int64_t n = axis.size(), samples = whole.size(0), length = whole.size(1) / n,
                heads = whole.size(2), head_dim = whole.size(3);
  const at::Tensor leaving =
      whole.reshape({samples, n, length, heads, head_dim}).transpose(0, 1).contiguous();
  const at::Tensor arrived = at::empty_like(leaving);
  exchange(leaving, arrived, axis);
  int64_t first = 0;
  for (const at::Tensor& part : parts) {
    const int64_t share = part.size(2) / n;
    part.copy_(arrived.narrow(3, first, share)
                   .permute({1, 2, 0, 3, 4})
                   .reshape({samples, length, n * share, head_dim}));
    first += share;
  }
}

}  // namespace ocoee::nn
