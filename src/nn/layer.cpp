// SPDX-License-Identifier: Apache-2.0
#include "nn/layer.h"

#include "core/error.h"

namespace ocoee::nn {

// ---- Bundle

at::Tensor& Bundle::operator[](const std::string& name) {
  for (auto& [existing, tensor] : items_) {
    if (existing == name) return tensor;
  }
  return items_.emplace_back(name, at::Tensor()).second;
}

const at::Tensor& Bundle::at(const std::string& name) const {
  for (const auto& [existing, tensor] : items_) {
    if (existing == name) return tensor;
  }
  fail(ErrorKind::internal, "a layer asked for '{}', which the bundle does not hold", name);
}

bool Bundle::has(const std::string& name) const {
  for (const auto& item : items_) {
    if (item.first == name) return true;
  }
  return false;
}

void Bundle::erase(const std::string& name) {
  std::erase_if(items_, [&](const auto& item) { return item.first == name; });
}

// ---- passes in turns

bool Pieces::take_turn() {
  if (next_ == pieces_.size()) return false;
  while (next_ < pieces_.size()) {
    const std::function<void()> piece = std::move(pieces_[next_++]);
    if (!piece) break;
    piece();
  }
  return true;
}

void take_turns(Pieces& first, Pieces& second, int ahead) {
  for (int i = 0; i < ahead; ++i) first.take_turn();
  bool more = true;
  while (more) {
    more = first.take_turn();
    more |= second.take_turn();
  }
}

void ExchangingLayer::forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) {
  Pieces pieces;
  forward_pieces(in, out, saved, context, pieces);
  pieces.finish();
}

void ExchangingLayer::backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved,
                               WeightWork& later, Context& context) {
  Pieces pieces;
  backward_pieces(grad_out, grad_in, saved, later, context, pieces);
  pieces.finish();
}

// ---- Weights

int64_t Weights::offset(size_t index) const {
  int64_t sum = 0;
  for (size_t i = 0; i < index; ++i) sum += spec->parameters[i].elements();
  return sum;
}

namespace {

// `count` consecutive parameters as one: their rows stacked, the other dimensions equal.
at::Tensor stacked(const at::Tensor& flat, const Weights& weights, size_t first, size_t count) {
  const auto& parameters = weights.spec->parameters;
  std::vector<int64_t> shape = parameters[first].shape;
  for (size_t i = first + 1; i < first + count; ++i) {
    OCOEE_CHECK(parameters[i].shape.size() == shape.size(), "{} and {} cannot fuse",
                parameters[first].name, parameters[i].name);
    shape[0] += parameters[i].shape[0];
  }
  int64_t elements = 1;
  for (const int64_t extent : shape) elements *= extent;
  return flat.narrow(0, weights.offset(first), elements).view(shape);
}

}  // namespace

at::Tensor Weights::view(size_t first, size_t count) const {
  return stacked(value, *this, first, count);
}
at::Tensor Weights::gradient_view(size_t first, size_t count) const {
  return stacked(gradient, *this, first, count);
}

// ---- AutogradLayer

namespace {

struct Tape {
  std::vector<std::pair<std::string, at::Tensor>> inputs;   // leaves
  std::vector<std::pair<std::string, at::Tensor>> outputs;  // attached to the tape
};

}  // namespace

std::vector<std::pair<size_t, size_t>> AutogradLayer::leaf_groups() const {
  std::vector<std::pair<size_t, size_t>> groups;
  for (size_t i = 0; i < spec().parameters.size(); ++i) groups.emplace_back(i, 1);
  return groups;
}

void AutogradLayer::bind(const Weights& lent) {
  Layer::bind(lent);
  leaves_.clear();
  for (const auto& [first, count] : leaf_groups()) {
    leaves_.push_back(
        weights().view(first, count).detach().requires_grad_(lent.gradient.defined()));
  }
}

void AutogradLayer::forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) {
  if (!context.save) {
    const at::NoGradGuard no_grad;
    compute(in, out, leaves_, context);
    return;
  }
  auto tape = std::make_shared<Tape>();
  Bundle leaves;
  for (const auto& [name, tensor] : in.items()) {
    at::Tensor leaf = tensor.detach();
    if (leaf.is_floating_point()) leaf.requires_grad_(true);
    leaves[name] = leaf;
    tape->inputs.emplace_back(name, leaf);
  }
  Bundle attached;
  {
    const at::AutoGradMode grad_mode(true);
    compute(leaves, attached, leaves_, context);
  }
  for (const auto& [name, tensor] : attached.items()) {
    tape->outputs.emplace_back(name, tensor);
    out[name] = tensor.detach();
  }
  saved.tape = std::move(tape);
}

void AutogradLayer::backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork&,
                             Context&) {
  OCOEE_CHECK(saved.tape != nullptr, "backward of {} without a forward", spec().name);
  const auto tape = std::static_pointer_cast<Tape>(saved.tape);
  torch::autograd::variable_list outputs, seeds, inputs;
  for (const auto& [name, tensor] : tape->outputs) {
    if (!tensor.requires_grad() || !grad_out.has(name)) continue;
    outputs.push_back(tensor);
    seeds.push_back(grad_out.at(name));
  }
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tape->inputs) {
    if (!tensor.requires_grad()) continue;
    inputs.push_back(tensor);
    names.push_back(name);
  }
  inputs.insert(inputs.end(), leaves_.begin(), leaves_.end());
  const auto gradients = torch::autograd::grad(outputs, inputs, seeds, /*retain_graph=*/false,
                                               /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < names.size(); ++i) {
    if (gradients[i].defined()) grad_in[names[i]] = gradients[i];
  }
  const at::NoGradGuard no_grad;
  const auto groups = leaf_groups();
  for (size_t i = 0; i < groups.size(); ++i) {
    const at::Tensor& gradient = gradients[names.size() + i];
    if (gradient.defined())
      weights().gradient_view(groups[i].first, groups[i].second).add_(gradient);
  }
  saved.clear();
}

}  // namespace ocoee::nn
