// SPDX-License-Identifier: Apache-2.0
// Attention over a sequence that is split over the context axis, in two ways (plan/sequence.h).
//
// Ring: keys and values go round; each rank attends with its queries to what is there, and adds up
// outputs by their log-sum-exp. A step in which neither half of a rank's queries may see a half of
// the keys leaves that half out, so all ranks have the same work in each. In the backward pass the
// gradients of keys and values go round with them, in float32 (float64 when computing in it).
// Exact: only the order of sums differs.
//
// All-to-all: the sequence is made whole and the heads are split instead, before attention and back
// after it.
#pragma once

#include "comm/communicator.h"
#include "nn/fused_attention.h"

namespace ocoee::nn {

// As attention_forward and attention_backward, causal, of this rank's part of the sequence; `saved`
// is over all keys.
at::Tensor ring_attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  comm::Communicator& ring, AttentionSaved* saved);
void ring_attention_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                             const at::Tensor& v, comm::Communicator& ring,
                             const AttentionSaved& saved, const at::Tensor& grad_q,
                             const at::Tensor& grad_k, const at::Tensor& grad_v);

// [B, T / n, heads_i, D] each -> [B, T, sum of heads_i / n, D]: this rank's share of each one's
// heads, over the whole sequence.
at::Tensor share_heads(const std::vector<at::Tensor>& parts, comm::Communicator& axis);
// And back: [B, T, sum of heads_i / n, D] into the parts [B, T / n, heads_i, D].
void share_sequence(const at::Tensor& whole, const std::vector<at::Tensor>& parts,
                    comm::Communicator& axis);

}  // namespace ocoee::nn
