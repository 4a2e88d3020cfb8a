/* SPDX-License-Identifier: BSD-3-Clause */
/* The fake kernel of lib/iommu's tests. An object belongs to one folder, so it is compiled again. */
#include "../iommu/fake_vfio.c" /* NOLINT(bugprone-suspicious-include) */
