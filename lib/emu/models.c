/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu_internal.h"

const struct nsdk_emu_model_ops *const nsdk_emu_models[] = {
	&nsdk_emu_nvme,
	NULL,
};
