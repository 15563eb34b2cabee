from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0003_pages_and_packed_chunks")]

    operations = [
        migrations.RemoveField(model_name="snapshot", name="files"),
        migrations.AddField(model_name="snapshot", name="packed_state", field=models.BinaryField(null=True)),
        migrations.AddField(model_name="snapshot", name="packed_files", field=models.BinaryField(null=True)),
        migrations.AlterField(
            model_name="snapshot", name="state", field=models.TextField(blank=True, default="")
        ),
    ]
