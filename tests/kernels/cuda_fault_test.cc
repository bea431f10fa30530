// A kernel that reads where nothing is: the device is lost to this process, and says so from then
// on. A program of its own, since nothing can be computed after it.
#include "tests/kernels/cuda_fixture.h"

namespace glm::kernels {
namespace {

class CudaFault : public CudaTest {};

TEST_F(CudaFault, IsReportedByTheNextSyncWithItsReason) {
  void* here = device(Bits(8));
  void* nowhere = reinterpret_cast<void*>(0x100000);  // NOLINT: that is the point
  gpu_->add({.out = {here, Dtype::bf16, {1, 8}}, .x = {nowhere, Dtype::bf16, {1, 8}}});
  const Status status = gpu_->sync();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::device);
  EXPECT_NE(status.error().message.find("illegal memory access"), std::string::npos)
      << status.error().message;

  gpu_->add({.out = {here, Dtype::bf16, {1, 8}}, .x = {here, Dtype::bf16, {1, 8}}});
  EXPECT_EQ(gpu_->sync().error().code, Errc::device);
  EXPECT_FALSE(gpu_->allocate(64).ok());
}

}  // namespace
}  // namespace glm::kernels
