#include "kernels/cuda/fork.h"

#include "kernels/cuda/cuda_error.h"

namespace glm::kernels::cuda {

Result<Fork> Fork::make() {
  Fork fork;
  for (Handle<EventTraits>* event : {&fork.begun_, &fork.ended_}) {
    if (const cudaError_t code = cudaEventCreateWithFlags(event->out(), cudaEventDisableTiming);
        code != cudaSuccess) {
      return cuda_error("make an event", code);
    }
  }
  return fork;
}

cudaError_t Fork::begin(cudaStream_t main, cudaStream_t side) {
  const cudaError_t code = cudaEventRecord(begun_.get(), main);
  return code == cudaSuccess ? cudaStreamWaitEvent(side, begun_.get(), 0) : code;
}

cudaError_t Fork::end(cudaStream_t side) {
  const cudaError_t code = cudaEventRecord(ended_.get(), side);
  pending_ = code == cudaSuccess;
  return code;
}

cudaEvent_t Fork::take_end() {
  if (!pending_) return nullptr;
  pending_ = false;
  return ended_.get();
}

}  // namespace glm::kernels::cuda
