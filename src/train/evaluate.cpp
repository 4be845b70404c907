// SPDX-License-Identifier: Apache-2.0
#include "train/evaluate.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/trace.h"

namespace ocoee::train {

using nlohmann::json;

json evaluate(Models& models, Evaluation& evaluation, comm::Mesh& mesh, int64_t micro) {
  const trace::Scope scope("evaluation", "compute", trace::Inside::counted);
  const at::NoGradGuard no_grad;
  const data::EvaluationSource& source = evaluation.source();
  const int64_t ranks = mesh.size(comm::Axis::data), rank = mesh.coordinate(comm::Axis::data);
  const int64_t first = source.size() * rank / ranks, last = source.size() * (rank + 1) / ranks;
  const auto on_device = at::TensorOptions().device(parallel::torch_device(mesh.device()));
  const at::Tensor total = at::zeros({2}, on_device.dtype(at::kDouble));  // loss, weight
  // As many rounds on every rank: where parameters are gathered for each pass, all must come.
  const int64_t most = (source.size() + ranks - 1) / ranks;
  for (int64_t round = 0; round < (most + micro - 1) / micro; ++round) {
    const bool counts = first + round * micro < last;
    const int64_t begin = counts ? first + round * micro : 0;
    const int64_t count = counts ? std::min(micro, last - begin) : 1;
    nn::Bundle fields;
    std::vector<at::Tensor> hosts;
    for (const data::FieldSpec& field : source.fields()) {
      std::vector<int64_t> shape{count};
      shape.insert(shape.end(), field.shape.begin(), field.shape.end());
      hosts.push_back(
          at::empty(shape, at::TensorOptions().dtype(parallel::scalar_type_of(field.dtype))));
    }
    for (int64_t i = 0; i < count; ++i) {
      std::vector<void*> rows;
      for (const at::Tensor& host : hosts)
        rows.push_back(static_cast<char*>(host.data_ptr()) +
                       static_cast<size_t>(i * host.stride(0)) * host.element_size());
      source.fill(begin + i, rows);
    }
    for (size_t i = 0; i < hosts.size(); ++i)
      fields[source.fields()[i].name] = hosts[i].to(on_device.device());
    const Sums sums = evaluation.micro_batch(models, fields);
    if (!counts) continue;
    total.add_(at::stack({sums.loss.to(at::kDouble), sums.weight.to(at::kDouble)}));
  }
  const at::Tensor read = total.to(at::kCPU);
  double loss = read[0].item<double>(), weight = read[1].item<double>();
  if (mesh.world().size() > 1) {
    // One rank of each pipeline has sums of its part of the tokens; tensor ranks and instances
    // repeat them.
    const double copies = mesh.size(comm::Axis::tensor) * mesh.size(comm::Axis::instance);
    loss = mesh.world().all_reduce_value(loss, comm::Reduce::sum) / copies;
    weight = mesh.world().all_reduce_value(weight, comm::Reduce::sum) / copies;
  }
  return evaluation.metrics(loss, weight);
}

}  // namespace ocoee::train
