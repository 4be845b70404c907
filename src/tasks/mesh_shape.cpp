// SPDX-License-Identifier: Apache-2.0
#include "tasks/mesh_shape.h"

namespace ocoee::tasks {

comm::Shape mesh_shape(const plan::LayoutConfig& layout, int ranks) {
  comm::Shape shape;
  shape[comm::Axis::data] = static_cast<int>(layout.data(ranks));
  shape[comm::Axis::tensor] = static_cast<int>(layout.tensor);
  shape[comm::Axis::pipeline] = static_cast<int>(layout.pipeline);
  shape[comm::Axis::context] = static_cast<int>(layout.context);
  shape.shard_group = static_cast<int>(layout.shard_group);
  shape.message_multiprocessors = static_cast<int>(layout.message_multiprocessors);
  shape.copy_engines = layout.copy_engines == "all"   ? comm::CopyEngines::all
                       : layout.copy_engines == "off" ? comm::CopyEngines::off
                                                      : comm::CopyEngines::tensor;
  shape.pipeline_inside = layout.placement == "pipeline_inside";
  return shape;
}

}  // namespace ocoee::tasks
