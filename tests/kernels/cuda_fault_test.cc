// A kernel that reads where nothing is: the device is lost to this process, and says so from then
// on. A program of its own, since nothing can be computed after it.
#include "tests/kernels/cuda_fixture.h"

namespace glm::kernels {
namespace {

class CudaFault : public CudaTest {};

TEST_F(CudaFault, IsReportedByTheNextSyncWithItsReason) {
  void* here = device(Floats(4));
  void* ids = device(Floats(1));
  void* weights = device(Floats(1));
  void* nowhere = reinterpret_cast<void*>(0x100000);  // NOLINT: that is the point
  const auto choose = [&](const void* logits) {
    gpu_->router_topk({.ids = {ids, Dtype::i32, {1, 1}},
                       .weights = {weights, Dtype::f32, {1, 1}},
                       .logits = {logits, Dtype::f32, {1, 4}}});
  };
  choose(nowhere);
  const Status status = gpu_->sync();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::device);
  EXPECT_NE(status.error().message.find("illegal memory access"), std::string::npos)
      << status.error().message;

  choose(here);
  EXPECT_EQ(gpu_->sync().error().code, Errc::device);
  EXPECT_FALSE(gpu_->allocate(64).ok());
}

}  // namespace
}  // namespace glm::kernels
