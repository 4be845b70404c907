// SPDX-License-Identifier: Apache-2.0
#include "tasks/mesh_shape.h"

namespace ocoee::tasks {
namespace {

comm::CopyEngines copy_engines(const plan::LayoutConfig& layout,
                               const plan::PrecisionConfig& precision) {
  if (layout.copy_engines == "all") return comm::CopyEngines::all;
  if (layout.copy_engines == "off") return comm::CopyEngines::off;
  return plan::copies_gradients(layout, precision) ? comm::CopyEngines::tensor_and_data
                                                   : comm::CopyEngines::tensor;
}

}  // namespace

comm::Shape mesh_shape(const plan::LayoutConfig& layout, const plan::PrecisionConfig& precision,
                       int ranks) {
  comm::Shape shape;
  shape[comm::Axis::data] = static_cast<int>(layout.data(ranks));
  shape[comm::Axis::tensor] = static_cast<int>(layout.tensor);
  shape[comm::Axis::pipeline] = static_cast<int>(layout.pipeline);
  shape[comm::Axis::context] = static_cast<int>(layout.context);
  shape.shard_group = static_cast<int>(layout.shard_group);
  shape.message_multiprocessors = static_cast<int>(layout.message_multiprocessors);
  shape.copy_engines = copy_engines(layout, precision);
  shape.pipeline_inside = layout.placement == "pipeline_inside";
  return shape;
}

}  // namespace ocoee::tasks
